/**
 * `watt402-gateway devices`: who may buy.
 *
 * Promise: may run beside the gateway, on its ledger; the gateway follows within seconds.
 */
import { Command, Option } from "commander";
import type { LoadedConfig } from "../config/layers.ts";
import type { Decision, EnrolmentRecord } from "../enrolment/enrolment.ts";
import type { LedgerStore } from "../ledger/store.ts";
import { deviceIn, withLedger } from "./ledger.ts";

const STATES = ["pending", "approved", "refused"] as const;
const PAGE = 1_000;

export function devicesCommand(load: () => LoadedConfig): Command {
  const devices = new Command("devices");
  devices
    .command("list")
    .description("devices that said hello or were decided on, with the state of their enrolment")
    .addOption(new Option("--state <state>", "only those").choices(STATES))
    .option("--json", "as one JSON document")
    .action((options: { state?: EnrolmentRecord["state"]; json?: true }) =>
      withLedger(load, async (ledger, { config }) => {
        const listed = await list(ledger, options.state ?? null);
        process.stdout.write(options.json ? `${JSON.stringify(listed, null, 2)}\n` : table(listed));
        if (!options.json) process.stdout.write(`enrolment is ${config.enrolment.mode}\n`);
      }),
    );
  devices
    .command("approve")
    .description("let devices buy, whatever the mode; one that waits gets its offer at once")
    .argument("<device...>", "their addresses")
    .action((names: string[]) => decide(load, names, "approved"));
  devices
    .command("refuse")
    .description("keep devices out, whatever the mode: no login, no offer, no payment")
    .argument("<device...>", "their addresses")
    .action((names: string[]) => decide(load, names, "refused"));
  return devices;
}

async function decide(load: () => LoadedConfig, names: readonly string[], decision: Decision): Promise<void> {
  // All are addresses, or none is decided on.
  const devices = names.map(deviceIn);
  await withLedger(load, async (ledger) => {
    for (const device of devices) {
      const before = await ledger.enrolment(device);
      await ledger.decideEnrolment(device, decision, Date.now() / 1000);
      process.stdout.write(`${device}: ${decision}, ${before === null ? "unknown" : before.state} before\n`);
    }
  });
}

interface Listed {
  readonly device: string;
  readonly enrolment: EnrolmentRecord["state"] | "by mode";
  readonly asked: string;
  readonly decided: string;
  readonly model: string;
}

async function list(ledger: LedgerStore, state: EnrolmentRecord["state"] | null): Promise<Listed[]> {
  const models = new Map((await ledger.devices()).map(({ device, model }) => [device, model]));
  const listed: Listed[] = [];
  let after = "";
  for (;;) {
    const page = await ledger.enrolments(state, after, PAGE);
    for (const { device, state: enrolment, askedSeconds, decidedSeconds } of page) {
      const model = models.get(device) ?? "";
      listed.push({ device, enrolment, asked: timeOf(askedSeconds), decided: timeOf(decidedSeconds), model });
      models.delete(device);
    }
    if (page.length < PAGE) break;
    after = page.at(-1)!.device;
  }
  if (state !== null) return listed;
  for (const [device, model] of models)
    listed.push({ device, enrolment: "by mode", asked: "", decided: "", model });
  return listed.sort((left, right) => (left.device < right.device ? -1 : 1));
}

function timeOf(seconds: number): string {
  return seconds === 0 ? "" : new Date(seconds * 1000).toISOString();
}

function table(listed: readonly Listed[]): string {
  const line = ({ device, enrolment, asked, decided, model }: Listed) =>
    [device, enrolment.padEnd(8), asked.padEnd(24), decided.padEnd(24), model].join("  ").trimEnd();
  const head = { device: "device".padEnd(40), asked: "asked", decided: "decided", model: "model" };
  return [line({ ...head, enrolment: "state" as Listed["enrolment"] }), ...listed.map(line)]
    .map((text) => `${text}\n`)
    .join("");
}
