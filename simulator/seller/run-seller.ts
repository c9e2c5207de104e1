// `watt402-simulate seller`: the seller as a process of its own. Ready is one JSON line on standard output
// (and a message to a parent that forked it); SIGTERM and SIGINT claim, settle, report and exit 0; whatever
// keeps it from starting is one line and exit 1.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { Address, Hex } from "viem";
import { failureCount } from "#core/detach";
import { readText } from "#node/config/text-file";
import { guardProcess } from "#node/process-guard";
import { Watt402Error } from "#payment/watt402-error";
import { positive, readBy, whole } from "../arguments.ts";
import type { Scheme } from "./accounts/accounts.ts";
import {
  facilitatorsOf,
  type OriginHeaders,
  readFacilitator,
  readOriginHeaders,
} from "./claims/facilitator-flags.ts";
import { CONDUCTS, type Conduct, lieOf } from "./conduct/conduct.ts";
import type { Clock } from "./ports.ts";
import { type Goods, readSellFile } from "./sale/goods.ts";
import {
  GAS_SPONSORINGS,
  type GasSponsoring,
  SCHEMES,
  TRANSFER_METHODS,
  type TransferMethod,
} from "./sale/payment-ways.ts";
import { DEFAULT_MENU, flatTariff, type Tariff } from "./sale/tariff.ts";
import { SERIES_BYTES_MAX, tariffFromCsv, tariffFromToml } from "./sale/tariff-text.ts";
import { SCHEME_SERVERS, type SchemeServer } from "./scheme/scheme-server.ts";
import { type SellerOptions, startSeller } from "./seller.ts";
import { readProxies, readPublicUrl } from "./server/public-base.ts";

/** Keys may come from the environment instead of files, as 0x and 64 hex digits. */
const RECEIVER_KEY_VARIABLE = "WATT402_RECEIVER_KEY";
const FACILITATOR_KEY_VARIABLE = "WATT402_FACILITATOR_KEY";

interface Flags {
  readonly rpc: string;
  readonly chainId?: number;
  readonly port: number;
  readonly host: string;
  readonly publicUrl?: string;
  readonly trustProxy?: readonly string[];
  readonly data: string;
  readonly receiverKey?: string;
  readonly facilitatorKey?: string;
  readonly facilitator?: readonly string[];
  readonly facilitatorHeaders: readonly OriginHeaders[];
  readonly token: Address;
  readonly sell?: string;
  /** Of the file `sell`. */
  readonly goods?: Goods;
  readonly schemes?: readonly Scheme[];
  readonly tariff: string;
  readonly signTerms: boolean;
  readonly conduct: Conduct;
  readonly stock?: number;
  readonly tariffEpoch?: number;
  readonly speed: number;
  readonly tokensPerEuro: number;
  readonly menu: readonly number[];
  readonly scheme: "both" | "all" | Scheme;
  readonly transferMethod: readonly TransferMethod[];
  readonly gasSponsoring: readonly GasSponsoring[];
  readonly discovery: boolean;
  readonly schemeServer: SchemeServer;
  readonly chargePercent: number;
  readonly claimInterval: number;
  readonly watchInterval?: number;
  readonly withdrawDelay: number;
  readonly minDeposit: number;
}

/** Runs until a signal; `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runSeller(argv: readonly string[]): Promise<number> {
  try {
    const flags = readFlags(argv);
    guardSeller();
    const utility = await startSeller(optionsOf(flags));
    const stopped = signalled();
    announce({ ready: true, url: utility.url, vouchersVerifiedBy: utility.vouchersVerifiedBy });
    await stopped;
    const report = await utility.stop();
    announce({ stopped: true, report });
    return report.interrupted === undefined ? 0 : 1;
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`utility: ${(error as Error).message.split("\n")[0]}\n`);
    return 1;
  }
}

function guardSeller(): void {
  const logFailure = (what: string, error: unknown) =>
    process.stderr.write(
      `utility: ${what}: ${String(error).slice(0, 300)} (${failureCount()} since it started)\n`,
    );
  guardProcess({
    survived: logFailure,
    end(error) {
      logFailure("an uncaught exception", error);
      process.exit(1);
    },
  });
}

function readFlags(argv: readonly string[]): Flags {
  const command = new Command("watt402-simulate seller")
    .description("sell electricity, or anything else by the unit, over x402 on an EVM chain")
    .option(
      "--sell <file>",
      "what is sold, in TOML: unit, [[resource]], and menu, tariff, schemes if not given here",
    )
    .option("--rpc <url>", "JSON-RPC of an EVM node that has x402's contracts")
    .option("--chain-id <id>", "refuse a node of another chain", whole(1, Number.MAX_SAFE_INTEGER))
    .option("--port <number>", "port to listen on, 0 for any free one", whole(0, 65_535), 0)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--data <directory>", "where accounts.db is kept")
    .option("--public-url <url>", "where buyers reach the API, as stated in its terms", readBy(readPublicUrl))
    .option(
      "--trust-proxy <addresses>",
      "proxies whose X-Forwarded-Proto and -Host are believed",
      readBy(readProxies),
    )
    .option("--receiver-key <file>", `private key of the payee (or ${RECEIVER_KEY_VARIABLE})`)
    .option("--facilitator-key <file>", `private key that pays gas (or ${FACILITATOR_KEY_VARIABLE})`)
    .option(
      "--facilitator <url>",
      "an x402 facilitator instead of the built-in one; repeated, in order of preference",
      (text: string, before: readonly string[] = []) => [...before, readBy(readFacilitator)(text)],
    )
    .option(
      "--facilitator-headers <origin=file>",
      "a facilitator's authentication, lines `Name: value`; origin=!command for what a command prints",
      (text: string, before: readonly OriginHeaders[]) => [...before, readBy(readOriginHeaders)(text)],
      [],
    )
    .option("--token <address>", "EIP-3009 token to be paid in", address)
    .option(
      "--tariff <kind>",
      "flat:PRICE | tou:FILE.toml | csv:FILE.csv, atomic units per kWh",
      "flat:200000",
    )
    .option(
      "--sign-terms",
      "sign terms of a day, offers and receipts of use, and sell at what was signed",
      false,
    )
    .addOption(
      new Option(
        "--conduct <kind>",
        "greedy: dearer while it sells; vanishing: paid and gone; the others: a lie, under --sign-terms",
      )
        .choices(CONDUCTS)
        .default(CONDUCTS[0]),
    )
    .option("--stock <units>", "what it has to sell on a day, in units", whole(1, 2 ** 48 - 1))
    .option("--tariff-epoch <unix>", "tariff time at the start", whole(0, Number.MAX_SAFE_INTEGER))
    .option("--speed <factor>", "tariff seconds in a second", positive, 1)
    .option("--tokens-per-euro <rate>", "whole tokens to a euro, for EUR/MWh series", positive, 1)
    .option("--menu <quanta>", "quanta sold, atomic units, comma separated", menu, [...DEFAULT_MENU])
    .addOption(
      new Option("--scheme <scheme>", "payment schemes offered")
        .choices(["both", "all", ...SCHEMES])
        .default("both"),
    )
    .option(
      "--transfer-method <methods>",
      `what moves the token, of ${TRANSFER_METHODS.join(", ")}, in order of preference`,
      listOf(TRANSFER_METHODS),
      [TRANSFER_METHODS[0]],
    )
    .option(
      "--gas-sponsoring <kinds>",
      `gas of a payer's approval of Permit2 that is paid here, of ${GAS_SPONSORINGS.join(", ")}`,
      listOf(GAS_SPONSORINGS),
      [],
    )
    .option("--no-discovery", "declare nothing to catalogues; what is declared comes back with each payment")
    .addOption(
      new Option("--scheme-server <which>", "who verifies vouchers: meter-grade, or the official SDK")
        .choices(SCHEME_SERVERS)
        .default(SCHEME_SERVERS[0]),
    )
    .option(
      "--charge-percent <share>",
      "charged of each voucher, as by a seller's own meter",
      whole(1, 100),
      100,
    )
    .option("--claim-interval <seconds>", "between claims", positive, 3_600)
    .option("--watch-interval <seconds>", "between looks for withdrawals", positive)
    .option("--withdraw-delay <seconds>", "channels' withdraw delay", whole(900, 2_592_000), 86_400)
    .option("--min-deposit <atomic>", "deposit proposed to clients", whole(1, 2 ** 48 - 1), 1_000_000)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  const given = (name: string) => command.getOptionValueSource(name) === "cli";
  return complete({ ...command.opts<Partial<Flags>>(), ...soldBy(command.opts<Partial<Flags>>(), given) });
}

/** What a file of goods says; throws one line where the command line says it too. */
function soldBy({ sell: file }: Partial<Flags>, given: (name: string) => boolean): Partial<Flags> {
  if (file === undefined) return {};
  const { menu: quanta, tariff, schemes, ...goods } = readSellFile(readText(file, `goods ${file}`), file);
  const said = { menu: quanta, tariff, scheme: schemes };
  for (const [name, value] of Object.entries(said)) {
    if (value === undefined || !given(name)) continue;
    throw new Watt402Error("config-invalid", `--${name}: expected it here or in ${file}, found it in both`);
  }
  return {
    goods,
    ...(quanta === undefined ? {} : { menu: quanta }),
    ...(tariff === undefined ? {} : { tariff }),
    ...(schemes === undefined ? {} : { schemes }),
  };
}

/** What has no default, all of it at once. */
function complete(flags: Partial<Flags>): Flags {
  const needed: readonly (readonly [boolean, string])[] = [
    [flags.rpc !== undefined, "--rpc URL"],
    [flags.data !== undefined, "--data DIRECTORY"],
    [flags.token !== undefined, "--token ADDRESS"],
    [
      flags.receiverKey !== undefined || process.env[RECEIVER_KEY_VARIABLE] !== undefined,
      `--receiver-key FILE or ${RECEIVER_KEY_VARIABLE}`,
    ],
  ];
  const missing = needed.filter(([isThere]) => !isThere).map(([, option]) => option);
  if (missing.length > 0)
    throw new Watt402Error("config-invalid", `options: expected ${missing.join(", ")}, found none of that`);
  return flags as Flags;
}

function optionsOf(flags: Flags): SellerOptions {
  const receiverKey = readKey(flags.receiverKey, RECEIVER_KEY_VARIABLE);
  if (receiverKey === undefined)
    throw new Watt402Error("config-invalid", "receiver key: expected one, found none");
  const facilitatorKey = readKey(flags.facilitatorKey, FACILITATOR_KEY_VARIABLE);
  return {
    rpcUrl: flags.rpc,
    port: flags.port,
    host: flags.host,
    dataDirectory: flags.data,
    receiverKey,
    token: flags.token,
    tariff: readTariff(flags.tariff, flags.tokensPerEuro),
    signsTerms: flags.signTerms,
    conduct: conductOf(flags),
    ...(flags.stock === undefined ? {} : { stockUnits: flags.stock }),
    clock: followingClock(movedClock(flags.tariffEpoch, flags.speed)),
    menu: flags.menu,
    schemes: flags.schemes ?? schemesOf(flags.scheme),
    ...(flags.goods === undefined ? {} : { goods: flags.goods }),
    transferMethods: flags.transferMethod,
    gasSponsoring: flags.gasSponsoring,
    isDiscoverable: flags.discovery,
    schemeServer: flags.schemeServer,
    chargePercent: flags.chargePercent,
    claimIntervalSeconds: flags.claimInterval,
    withdrawDelaySeconds: flags.withdrawDelay,
    minDepositAtomic: flags.minDeposit,
    ...(flags.chainId === undefined ? {} : { expectedChainId: flags.chainId }),
    ...(flags.watchInterval === undefined ? {} : { watchIntervalSeconds: flags.watchInterval }),
    ...(facilitatorKey === undefined ? {} : { facilitatorKey }),
    ...(flags.facilitator === undefined && flags.facilitatorHeaders.length === 0
      ? {}
      : { facilitators: facilitatorsOf(flags.facilitator, flags.facilitatorHeaders) }),
    publicUrl: flags.publicUrl,
    trustedProxies: flags.trustProxy,
  };
}

/** Throws one line for a lie of who signs nothing. */
function conductOf({ conduct, signTerms }: Flags): Conduct {
  if (signTerms || lieOf(conduct) === null) return conduct;
  throw new Watt402Error(
    "config-invalid",
    `--conduct ${conduct}: expected --sign-terms beside it, found none`,
  );
}

function schemesOf(scheme: Flags["scheme"]): readonly Scheme[] {
  if (scheme === "all") return SCHEMES;
  return scheme === "both" ? ["batch-settlement", "exact"] : [scheme];
}

/** `flat:PRICE`, `tou:FILE` or `csv:FILE`. Throws `TariffError` or one line about the file. */
export function readTariff(argument: string, tokensPerEuro: number): Tariff {
  const [kind, value] = [argument.slice(0, argument.indexOf(":")), argument.slice(argument.indexOf(":") + 1)];
  if (kind === "flat" && /^\d+$/.test(value)) return flatTariff(Number(value));
  if (kind === "tou") return tariffFromToml(readText(value, `tariff ${value}`));
  if (kind === "csv")
    return tariffFromCsv(readText(value, `tariff ${value}`, SERIES_BYTES_MAX), { tokensPerEuro });
  throw new Watt402Error(
    "config-invalid",
    `tariff: expected flat:PRICE, tou:FILE or csv:FILE, found "${argument}"`,
  );
}

/** Wall time, or a clock that showed `epochSeconds` at this call and runs `speed` times as fast. */
function movedClock(epochSeconds: number | undefined, speed: number): Clock {
  const startMs = Date.now();
  const epochMs = epochSeconds === undefined ? startMs : epochSeconds * 1000;
  return { nowSeconds: () => Math.floor((epochMs + (Date.now() - startMs) * speed) / 1000) };
}

/** A parent that sends `{tariffSeconds}` over its channel decides what time it is; before it does, `own` does. */
function followingClock(own: Clock): Clock {
  let newest: number | null = null;
  process.on("message", (message) => {
    if (typeof message !== "object" || message === null) return;
    if ("tariffSeconds" in message && typeof message.tariffSeconds === "number") {
      newest = Math.floor(message.tariffSeconds);
    }
    // It may ask whether this one still runs.
    if ("ask" in message) process.send?.({ running: true }, () => undefined);
  });
  // A listener holds the channel, and the channel would hold a seller that was asked to stop.
  process.channel?.unref();
  return { nowSeconds: () => newest ?? own.nowSeconds() };
}

function readKey(file: string | undefined, variable: string): Hex | undefined {
  const text = file === undefined ? process.env[variable] : readText(file, `key ${file}`);
  if (text === undefined) return undefined;
  const key = text.trim();
  if (/^0x[0-9a-fA-F]{64}$/.test(key)) return key as Hex;
  // Never the key itself: this line ends up in logs.
  throw new Watt402Error(
    "file-invalid",
    `key ${file ?? variable}: expected 0x and 64 hex digits, found ${key.length} other characters`,
  );
}

/** The first SIGTERM, SIGINT or loss of the parent. Later signals are borne: the end is already on its way. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      // A listener for it would keep the process alive until the parent is gone.
      process.removeListener("disconnect", end);
      resolve();
    };
    process.on("SIGTERM", end);
    process.on("SIGINT", end);
    // A parent that is gone will not send a signal any more; it may have gone while this one was starting.
    if (process.connected) process.on("disconnect", end);
    else if (process.send !== undefined) end();
  });
}

function announce(message: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
  // "disconnect" reports a parent that leaves at this very moment, not a failure to send.
  if (process.connected) process.send?.(message, () => undefined);
}

function address(text: string): Address {
  if (/^0x[0-9a-fA-F]{40}$/.test(text)) return text as Address;
  throw new InvalidArgumentError("expected 0x and 40 hex digits");
}

function listOf<Word extends string>(words: readonly Word[]): (text: string) => Word[] {
  return (text) =>
    text.split(",").map((part) => {
      const found = words.find((word) => word === part.trim());
      if (found === undefined) throw new InvalidArgumentError(`expected some of ${words.join(", ")}`);
      return found;
    });
}

function menu(text: string): number[] {
  const quanta = text
    .split(",")
    .map((part) => (/^[1-9]\d{0,11}$/.test(part.trim()) ? Number(part) : Number.NaN));
  if (quanta.every(Number.isInteger)) return quanta;
  throw new InvalidArgumentError("expected atomic units separated by commas, such as 10,100,1000");
}
