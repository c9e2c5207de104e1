/**
 * `watt402-gateway watch`: the fleet in a terminal, from a running gateway's live feed.
 *
 * Promise: it only listens; figures first, then the messages as they go by, decoded. On anything but a
 * terminal, and with --json, every message is one line.
 */

import { readFileSync } from "node:fs";
import { Command } from "commander";
import { createLogUpdate } from "log-update";
import { request } from "undici";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { tokenName } from "#protocol/payment-token";
import type { LoadedConfig } from "../config/layers.ts";
import type { Frame } from "../telemetry/decoded-frames.ts";
import type { FleetSummary } from "../telemetry/shapes.ts";

interface WatchOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly device?: string;
  readonly json?: true;
}

const FRAMES_SHOWN = 20;
const EVENT_MAX_CHARACTERS = 4 * 1024 * 1024;

export function watchCommand(load: () => LoadedConfig): Command {
  return new Command("watch")
    .option("--url <url>", "of the gateway's [http], instead of the configuration's")
    .option("--token-file <file>", "with --url: the token of the gateway's http.tokenFile")
    .option("--device <address>", "one device's messages only")
    .option("--json", "every message as one line of JSON")
    .action(async (options: WatchOptions) => {
      const { url, tokenFile } =
        options.url === undefined ? addressIn(load()) : { ...options, url: options.url };
      const device = options.device?.toLowerCase().replace(/^0x/, "") ?? "all";
      await watch(url, tokenFile, device, options.json ? jsonView() : viewOn(process.stdout));
    });
}

/** What a watcher draws on. */
interface WatchView {
  fleet(summary: FleetSummary): void;
  frames(frames: readonly Frame[], missed: number): void;
}

/** Listens until the gateway ends the feed. Throws one line when it cannot be reached or refuses. */
export async function watch(
  url: string,
  tokenFile: string | undefined,
  frames: string,
  view: WatchView,
): Promise<void> {
  const headers =
    tokenFile === undefined ? {} : { authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` };
  const target = `${url.replace(/\/+$/, "")}/api/v1/events?frames=${encodeURIComponent(frames)}`;
  const { statusCode, body } = await request(target, { headers, bodyTimeout: 0 }).catch((error) => {
    throw new Watt402Error(
      "unreachable",
      `${url}: expected a gateway's [http], found none (${String(error.code ?? error)})`,
    );
  });
  if (statusCode !== 200)
    throw new Watt402Error(
      "unexpected-answer",
      `${url}: HTTP ${statusCode} ${(await body.text()).slice(0, 200)}`,
    );
  let rest = "";
  for await (const chunk of body.setEncoding("utf8")) {
    rest += chunk;
    const events = rest.split("\n\n");
    rest = events.pop()!;
    if (rest.length > EVENT_MAX_CHARACTERS)
      throw new Watt402Error("unexpected-answer", `${url}: expected events, found one without end`);
    for (const event of events) take(event, view);
  }
}

function take(event: string, view: WatchView): void {
  const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
  if (name === "fleet") view.fleet(parseJson(data!) as FleetSummary);
  if (name === "frames") {
    const { frames, missed } = parseJson(data!) as { frames: Frame[]; missed: number };
    view.frames(frames, missed);
  }
}

function addressIn({ config, source }: LoadedConfig): { url: string; tokenFile: string | undefined } {
  if (config.http === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: http: expected the section, for watch listens there; found none`,
    );
  }
  const { host, port, tokenFile } = config.http;
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return { url: `http://${name.includes(":") ? `[${name}]` : name}:${port}`, tokenFile };
}

function jsonView(): WatchView {
  return {
    fleet: () => {},
    frames: (frames) => {
      for (const frame of frames) process.stdout.write(`${JSON.stringify(frame)}\n`);
    },
  };
}

/** A live view on a terminal, a line for each message anywhere else. */
function viewOn(stream: NodeJS.WriteStream): WatchView {
  const isLive = stream.isTTY && !process.env.NO_COLOR;
  if (!isLive) {
    return {
      fleet: () => {},
      frames: (frames, missed) => {
        for (const frame of frames) stream.write(`${frameLine(frame)}\n`);
        if (missed > 0) stream.write(`(${missed} messages more than could be shown)\n`);
      },
    };
  }
  const draw = createLogUpdate(stream);
  let lines: string[] = [];
  return {
    fleet: (summary) => draw([...fleetLines(summary), "", ...lines].join("\n")),
    frames: (frames, missed) => {
      const more = missed > 0 ? [`(${missed} messages more than could be shown)`] : [];
      lines = [...lines, ...frames.map(frameLine), ...more].slice(-FRAMES_SHOWN);
    },
  };
}

/** The figures, as the dashboard has them. */
function fleetLines(summary: FleetSummary): readonly string[] {
  const { lights, powerMilliwatts, paymentsPerSecond, tokens } = summary;
  const isOneToken = tokens.length === 1;
  const money = tokens.map(
    (token) =>
      `spent ${token.spentAtomic} atomic units${isOneToken ? "" : ` of ${tokenName(token)}`}   ` +
      `price ${token.pricePerMillionUnits} a million units   `,
  );
  const { lit, dark, starved, lost } = lights;
  return [
    `lit ${lit}   dark ${dark}   new ${lights.new}   starved ${starved}   lost ${lost}   ${(powerMilliwatts / 1e6).toFixed(2)} kW`,
    `${paymentsPerSecond.toFixed(1)} payments/s   ${money.join("")}` +
      `refused ${summary.refusals}   dropped ${summary.dropped}`,
  ];
}

/** One message on one line. */
export function frameLine({ atSeconds, device, direction, leaf, fields }: Frame): string {
  const time = new Date(atSeconds * 1000).toISOString().slice(11, 23);
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${value}`);
  return `${time} ${direction === "up" ? "->" : "<-"} ${device.slice(0, 8)} ${leaf.padEnd(7)} ${shown.join(" ")}`;
}
