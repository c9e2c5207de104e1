/**
 * The bench's result: one JSON document, and the same as a Markdown table.
 *
 * Promise: every figure comes with its spread, beside the machine and the versions it was measured on.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, release, totalmem } from "node:os";
import type { GatewayAlone, Idle, SellerAlone } from "./alone.ts";
import type { EndToEnd, LatencyFigures } from "./end-to-end.ts";
import type { Spread } from "./figures.ts";
import type { GasFigures } from "./settled.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** Load average of the last minute when the bench began: what else ran. */
  readonly load: number;
}

/** Parts that were not asked for are absent. */
export interface BenchDocument {
  readonly at: string;
  readonly quick: boolean;
  readonly wallSeconds: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly endToEnd?: EndToEnd;
  readonly gatewayCpuMicroseconds?: Spread;
  readonly gatewayPaymentsPerSecond?: Spread;
  readonly sellerCpuMicroseconds?: Spread;
  readonly plainGetCpuMicroseconds?: Spread;
  readonly lightsPerGiB?: Spread;
  readonly idle?: Omit<Idle, "lightsPerGiB">;
  /** Payload up and down. */
  readonly bytesPerPayment?: Spread;
  readonly gasPerPayment?: Spread;
  readonly gasByClaimSize?: GasFigures["byClaimSize"];
  readonly latencyMs?: Readonly<Record<"low" | "busy", LatencyFigures>>;
  /** Light-nights in a second. */
  readonly worldLightsPerSecond?: Spread;
  readonly soak?: SoakFigures;
}

/** A large fleet over a long time. */
export interface SoakFigures {
  readonly lights: number;
  readonly minutes: number;
  readonly purchases: number;
  /** Lights that were dark for want of an answer at any look, and the longest time of one, milliseconds. */
  readonly starvedLights: number;
  readonly longestStarvedMs: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Resident memory, MiB: after the first minute, and at the end. */
  readonly memoryMiB: Readonly<
    Record<"gateway" | "seller" | "lights", { readonly early: number; readonly late: number }>
  >;
}

/** What the parts found, as they were asked. */
export interface Found {
  readonly endToEnd?: EndToEnd;
  readonly bytesPerPayment?: Spread;
  readonly latency?: Readonly<Record<"low" | "busy", LatencyFigures>>;
  readonly seller?: SellerAlone;
  readonly gateway?: { readonly idle: Idle; readonly alone: GatewayAlone };
  readonly gas?: GasFigures;
  readonly world?: Spread;
  readonly soak?: SoakFigures;
}

export function machineOf(): Machine {
  const [first, ...others] = cpus();
  return {
    cpu: first?.model ?? "unknown",
    cores: others.length + 1,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: Math.round(loadavg()[0]! * 100) / 100,
  };
}

/** Of what is compared, and of what it stands on. */
export function versionsOf(): Record<string, string> {
  const require = createRequire(import.meta.url);
  const paths = require.resolve.paths("x")!;
  const names = ["@x402/core", "@x402/evm", "@x402/express", "@x402/fetch", "express", "viem"];
  const own = ["aedes", "undici", "fastify", "libsql", "secp256k1", "@noble/curves"];
  const versions = [...names, ...own].map((name) => [name, versionOf(name, paths)] as const);
  return { node: process.versions.node, ...Object.fromEntries(versions) };
}

function versionOf(name: string, folders: readonly string[]): string {
  for (const folder of folders) {
    try {
      const text = readFileSync(`${folder}/${name}/package.json`, "utf8");
      return (JSON.parse(text) as { version: string }).version;
    } catch {}
  }
  return "not installed";
}

/** @param machine as it was when the bench began */
export function documentOf(
  found: Found,
  machine: Machine,
  run: { readonly quick: boolean; readonly wallSeconds: number },
): BenchDocument {
  const { endToEnd, bytesPerPayment, latency, seller, gateway, gas, world, soak } = found;
  return {
    at: new Date().toISOString(),
    ...run,
    machine,
    versions: versionsOf(),
    ...(endToEnd && { endToEnd }),
    ...(gateway && {
      gatewayCpuMicroseconds: gateway.alone.cpu,
      gatewayPaymentsPerSecond: gateway.alone.paymentsPerSecond,
      ...idleOf(gateway.idle),
    }),
    ...(seller && { sellerCpuMicroseconds: seller.voucher, plainGetCpuMicroseconds: seller.plainGet }),
    ...(bytesPerPayment && { bytesPerPayment }),
    ...(gas && { gasPerPayment: gas.perPayment, gasByClaimSize: gas.byClaimSize }),
    ...(latency && { latencyMs: latency }),
    ...(world && { worldLightsPerSecond: world }),
    ...(soak && { soak }),
  };
}

function idleOf({ lightsPerGiB, ...idle }: Idle): Pick<BenchDocument, "lightsPerGiB" | "idle"> {
  return { lightsPerGiB, idle };
}

/** The document for people. */
export function tableOf(document: BenchDocument): string {
  const { machine, versions, endToEnd, idle, latencyMs, gasByClaimSize, soak } = document;
  const { cpu, cores, memoryGiB, kernel, load } = machine;
  const rows: string[] = [];
  const row = (what: string, figure: Spread | undefined, goal: string, digits = 0) => {
    if (figure === undefined) return;
    const [median, min, max] = [figure.median, figure.min, figure.max].map((value) => shown(value, digits));
    rows.push(`| ${what} | ${median} | ${min} - ${max} | ${goal} |`);
  };
  row("end to end, ours, purchases a second", endToEnd?.ours, "");
  row("end to end, stock, purchases a second", endToEnd?.stock, "");
  row("end to end, ours over stock", endToEnd?.ratio, ">= 20", 1);
  row("end to end, CPU of all processes a purchase, stock over ours", endToEnd?.cpuRatio, "", 1);
  for (const [name, spread] of Object.entries(endToEnd?.cpuMicroseconds ?? {})) {
    row(`end to end, CPU of ${CPU_NAMES[name] ?? name}, us a purchase`, spread, "");
  }
  row("gateway alone, payments a second", document.gatewayPaymentsPerSecond, "");
  row("gateway alone, CPU us a payment", document.gatewayCpuMicroseconds, "<= 150");
  row("seller alone, CPU us a voucher", document.sellerCpuMicroseconds, "");
  row("seller alone, CPU us a plain GET", document.plainGetCpuMicroseconds, "");
  row("connected idle lights per GiB, both ends", document.lightsPerGiB, ">= 90,000");
  row("payload of a payment, up and down, bytes", document.bytesPerPayment, "<= 150");
  for (const [size, spread] of Object.entries(gasByClaimSize ?? {})) {
    row(`gas a payment, one a second, hourly claims of ${size}`, spread, size === "90" ? "<= 10" : "", 2);
  }
  for (const [when, title] of LATENCIES) {
    row(`latency p50, ${title}, ms`, latencyMs?.[when].p50, "", 1);
    row(`latency p99, ${title}, ms`, latencyMs?.[when].p99, "", 1);
  }
  row("world, lights times nights a second", document.worldLightsPerSecond, "");
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const notes = [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}; load ${load} when it began.`,
    `${packages.join(", ")}.`,
  ];
  if (endToEnd !== undefined) notes.push(`End to end with ${endToEnd.channels} channels on each side.`);
  if (idle !== undefined) {
    const [gateway, light] = [idle.gatewayBytes, idle.lightBytes].map((bytes) => shown(bytes / 1024, 1));
    notes.push(
      `Idle: ${idle.lights} lights, ${gateway} KiB each in the gateway and ${light} KiB in the fleet.`,
    );
  }
  if (soak !== undefined) notes.push(soakLine(soak));
  return [
    "| what | median | min - max | goal |",
    "|---|---|---|---|",
    ...rows,
    "",
    ...notes.map((note) => `- ${note}`),
  ].join("\n");
}

const CPU_NAMES: Readonly<Record<string, string>> = {
  lights: "our lights",
  gateway: "our gateway",
  seller: "our seller",
  stockClients: "stock clients",
  stockSeller: "the stock seller",
};

const LATENCIES = [
  ["low", "20 purchases a second"],
  ["busy", "at 70 % of the rate above"],
] as const;

function soakLine({ lights, minutes, purchases, ...found }: SoakFigures): string {
  const { starvedLights, longestStarvedMs, latencyMs, memoryMiB } = found;
  const memory = Object.entries(memoryMiB).map(
    ([name, { early, late }]) => `${name} ${shown(early, 0)} -> ${shown(late, 0)} MiB`,
  );
  return (
    `Soak: ${lights} lights, ${minutes} minutes, ${purchases} purchases; ${starvedLights} lights were dark for want of an ` +
    `answer, the longest ${shown(longestStarvedMs, 0)} ms; latency p50 ${shown(latencyMs.p50, 1)}, p99 ` +
    `${shown(latencyMs.p99, 1)} ms; ${memory.join(", ")}.`
  );
}

function shown(value: number, digits: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
