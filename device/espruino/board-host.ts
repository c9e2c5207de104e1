/**
 * A light on an Espruino board: the same host and machine as on the Pi, with flash, sockets and time as the
 * board has them.
 *
 * Promise: the lamp is dark before anything is read. By day rungs are signed in slices; by night a payment is
 * a read from flash. The board makes no secret of its own: key, tag key and jitter are what it was
 * provisioned with.
 */
import type { Effect, Event } from "#core/events";
import { type Settings, type State, stepMachine } from "#core/machine";
import type { Lamp, Meter } from "#core/ports";
import { MachineHost } from "#host/machine-host";
import type { Description } from "#host/machine-parts";
import { sealedLogin } from "#protocol/sealed-login";
import type { Tagger } from "#protocol/tag";
import type { ByteStrings } from "./byte-strings.ts";
import { type BoardPlan, boardAlmanac } from "./clock/board-almanac.ts";
import { BoardClock, type BoardTimers } from "./clock/board-clock.ts";
import { keepTime, type TimeServer } from "./clock/network-time.ts";
import { Work } from "./clock/work.ts";
import { flashJournal } from "./flash/flash-journal.ts";
import { type Crc32, type FlashPages, pagesFrom } from "./flash/flash-pages.ts";
import { LadderKeeper } from "./flash/ladder-keeper.ts";
import { LadderStore } from "./flash/ladder-store.ts";
import { BoardInbox } from "./mqtt/board-inbox.ts";
import { type BoardLink, type BoardNet, openBoardLink } from "./mqtt/board-link.ts";
import { jitterOf } from "./mqtt/jitter.ts";
import { hmacOver, type Sha256 } from "./signer/hmac.ts";
import { createKeccak } from "./signer/keccak.ts";
import type { Convolve } from "./signer/limbs.ts";
import { createVoucherSigner } from "./signer/voucher-signer.ts";

/** A board's configuration, flashed as JSON. */
export interface BoardConfig {
  readonly v: 1;
  /** 40 lower-case hex digits. */
  readonly device: string;
  /** Compressed, 0x and 66 hex digits. */
  readonly publicKey: string;
  readonly broker: { readonly host: string; readonly port: number };
  readonly time: TimeServer;
  readonly keepaliveSeconds: number;
  readonly settings: Settings;
  readonly longestNightMs: number;
  readonly plan: BoardPlan;
  readonly describe: Description;
}

/** What it must keep to itself, and what only saves it work. */
interface BoardSecrets {
  readonly key: Uint8Array;
  readonly tagKey: Uint8Array;
  readonly domainSeparator: Uint8Array;
  readonly combTable: Uint8Array;
}

interface BoardPorts {
  readonly net: BoardNet;
  readonly timers: BoardTimers;
  readonly sha256: Sha256;
  readonly crc32: Crc32;
  readonly convolve: Convolve;
  readonly bytes: ByteStrings;
  /** Of the runtime alone: two for the journal, the others for the ladder. */
  readonly pages: FlashPages;
  /** A rung signed where the board was flashed; null for all others. */
  readonly presigned: (channelId: string, amount: number) => Uint8Array | null;
  readonly makeMeter: (clock: BoardClock) => Meter;
  readonly lamp: Lamp;
  /** Kicks the watchdog. */
  readonly kick: () => void;
  /** One line for the console. */
  readonly say: (text: string) => void;
  /** Called at every step of the machine, before its effects are carried out. */
  readonly observe?: (event: Event, effects: readonly Effect[], state: State) => void;
}

export interface Board {
  readonly machine: MachineHost;
  readonly ladder: LadderKeeper;
  readonly store: LadderStore;
  readonly work: Work;
  readonly link: BoardLink;
}

/** Flash pages of the checkpoint's journal. */
export const JOURNAL_PAGES = 2;

/** Starts the light. Throws when its flash holds what is no journal of ours. */
export function startBoard(config: BoardConfig, secrets: BoardSecrets, ports: BoardPorts): Board {
  const clock = new BoardClock(ports.timers);
  const random = jitterOf(config.device);
  const work = new Work(clock, ports.kick);
  const wake = () => work.wake();
  const tagger: Tagger = { hmac: hmacOver(ports.sha256), key: secrets.tagKey };
  const { pages, crc32 } = ports;
  const store = new LadderStore(pagesFrom(pages, JOURNAL_PAGES, pages.count - JOURNAL_PAGES), crc32);
  const { domainSeparator } = secrets;
  const inbox = new BoardInbox({
    tagger,
    device: `0x${config.device}`,
    domainSeparator,
    network: config.settings.policy.network,
    keccak: createKeccak(),
    wake,
  });
  const ladder = new LadderKeeper({
    store,
    signer: createVoucherSigner({
      table: secrets.combTable,
      key: secrets.key,
      domainSeparator,
      hmac: hmacOver(ports.sha256),
      convolve: ports.convolve,
    }),
    longestNightMs: config.longestNightMs,
    presigned: ports.presigned,
    wake,
  });
  work.add(() => inbox.step());
  work.add(() => ladder.step());
  const link = openBoardLink({
    net: ports.net,
    host: config.broker.host,
    port: config.broker.port,
    device: config.device,
    login: () => {
      const wallSeconds = clock.wallSeconds();
      return wallSeconds === null ? null : sealedLogin(tagger, config.device, config.publicKey, wallSeconds);
    },
    keepaliveSeconds: config.keepaliveSeconds,
    bytes: ports.bytes,
    clock,
    random,
    onTrouble: ports.say,
  });
  const machine = new MachineHost({
    settings: config.settings,
    step: stepMachine,
    publicKey: config.publicKey,
    tagger,
    open: (leaf, payload, take) => inbox.open(leaf, payload, take),
    clock,
    chainSeconds: () => null,
    random,
    meter: ports.makeMeter(clock),
    lamp: ports.lamp,
    journal: flashJournal(pagesFrom(pages, 0, JOURNAL_PAGES), crc32),
    link,
    almanac: boardAlmanac(config.plan),
    describe: config.describe,
    signer: ladder,
    trouble: () => ladder.trouble(),
    ladder: () => ladder.report(),
    observe: (event, effects, state) => {
      ladder.follow(state);
      if (ports.observe !== undefined) ports.observe(event, effects, state);
    },
  });
  machine.start();
  // The light runs without a clock; its login and its plan wait for one.
  keepTime(config.time, ports.net, clock, random, wake, ports.say);
  return { machine, ladder, store, work, link };
}
