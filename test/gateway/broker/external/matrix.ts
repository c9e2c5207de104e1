// Who may do what on which topic, as the AsyncAPI document says it: the expectation that brokers are held to.
// Nothing here is taken from the code that decides.

import { readFileSync } from "node:fs";

const API = JSON.parse(readFileSync("gateway/asyncapi.json", "utf8")) as {
  channels: Record<string, { address: string; description: string }>;
  operations: Record<
    string,
    { action: "send" | "receive"; channel: { $ref: string }; bindings: { mqtt: { retain: boolean } } }
  >;
};

export type Action = "publish" | "retained" | "will" | "subscribe";
export const ACTIONS: readonly Action[] = ["publish", "retained", "will", "subscribe"];

export interface Pair {
  /** Who acts: 40 hex digits. */
  readonly speaker: string;
  readonly topic: string;
  readonly action: Action;
  readonly bytes: number;
}

interface Leaf {
  readonly name: string;
  readonly isUp: boolean;
  readonly isRetained: boolean;
  readonly bytesMax: number;
}

export const API_LEAVES: readonly Leaf[] = Object.values(API.operations).map((operation) => {
  const { address, description } = API.channels[operation.channel.$ref.split("/").at(-1)!]!;
  return {
    name: address.replace("x402/1/{device}/", ""),
    isUp: operation.action === "receive",
    isRetained: operation.bindings.mqtt.retain,
    bytesMax: Number(/at most (\d+) bytes/.exec(description)![1]),
  };
});

/** What the document says of a pair. */
export function isListed({ speaker, topic, action, bytes }: Pair): boolean {
  const leaf = API_LEAVES.find(({ name }) => topic === `x402/1/${speaker}/${name}`);
  if (leaf === undefined) return false;
  if (action === "subscribe") return !leaf.isUp;
  return leaf.isUp && bytes <= leaf.bytesMax && (action !== "retained" || leaf.isRetained);
}

/** Topics and filters that a speaker might try, its own, another's, and worse. */
export function topicsFor(speaker: string, other: string): string[] {
  const leaves = [...API_LEAVES.map(({ name }) => name), "#", "+", "", "state/x", "PAY", "pay "];
  const names = [speaker, other, "+", "#", speaker.toUpperCase(), `${speaker}0`, speaker.slice(1), ""];
  const inside = names.flatMap((name) => leaves.map((leaf) => `x402/1/${name}/${leaf}`));
  const outside = [
    "#",
    "+/#",
    "$SYS/#",
    "$SYS/broker/version",
    "$share/watt402/x402/1/+/pay",
    `$share/g/x402/1/${speaker}/grant`,
    "x402/1/gateway/a/b/pay",
    "x402/1/gateway/#",
    "x402/1/prices/seller",
    "x402/#",
    "x402/1/#",
    `x402/2/${speaker}/pay`,
    `/x402/1/${speaker}/pay`,
    `x402/1/${speaker}`,
    `x402/1/${speaker}/state/`,
    "homeassistant/light/x/config",
    "homeassistant/#",
    "a/".repeat(60),
    "",
  ];
  return [...new Set([...inside, ...outside])];
}

/** Every pair of some speakers. */
export function pairsOf(speakers: readonly string[]): Pair[] {
  return speakers.flatMap((speaker, index) => {
    const other = speakers[(index + 1) % speakers.length]!;
    return topicsFor(speaker, other).flatMap((topic) =>
      ACTIONS.flatMap((action) =>
        sizesFor(topic, action).map((bytes) => ({ speaker, topic, action, bytes })),
      ),
    );
  });
}

/** Around the bound of the leaf that the topic ends like. */
function sizesFor(topic: string, action: Action): number[] {
  if (action === "subscribe") return [0];
  const leaf = API_LEAVES.find(({ name }) => topic.endsWith(`/${name}`));
  return leaf === undefined ? [1] : [1, leaf.bytesMax, leaf.bytesMax + 1];
}
