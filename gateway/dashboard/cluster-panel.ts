/**
 * One line on which of several gateways takes which payments; nothing for a gateway alone.
 */
import type { Answer } from "../http/answers.ts";
import { find } from "./element.ts";

const ASK_MS = 5_000;

/** Asks at once, and again for as long as the gateway is one of several. */
export async function showCluster(): Promise<void> {
  const line = find("cluster");
  const answer = await fetch("/api/v1/duty").catch(() => null);
  if (answer?.ok) {
    const cluster = (await answer.json()) as Answer<"Duty">;
    if (cluster.state === "sole") return;
    line.hidden = false;
    line.textContent = sentence(cluster);
    line.classList.toggle("bad", cluster.state === "lapsed" || cluster.members.some(({ isLive }) => !isLive));
  }
  setTimeout(() => void showCluster(), ASK_MS);
}

function sentence({ state, members, slotsOfAll }: Answer<"Duty">): string {
  const shown = members.map(({ name, isSelf, isLive, slots }) => {
    const part = isLive ? `${Math.round((100 * slots) / slotsOfAll)} % of the fleet` : "vanished";
    return `${name}${isSelf ? " (this one)" : ""}: ${part}`;
  });
  const own = { standby: "standby · ", lapsed: "takes no payments, its lease has ended · " };
  return `${state === "standby" || state === "lapsed" ? own[state] : ""}${shown.join(" · ")}`;
}
