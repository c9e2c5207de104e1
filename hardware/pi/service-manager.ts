/**
 * Notifies systemd of how the service is (sd_notify(3)), through its own command: Node has no datagram
 * sockets of the Unix kind.
 *
 * Promise: the watchdog is fed only while `isAlive` says so, twice in each of its periods; one command
 * runs at a time, for a bounded time. Without systemd nothing is done.
 */
import { execFile } from "node:child_process";

/** Longest run of one systemd-notify, milliseconds. */
const NOTIFY_MS = 5000;
/** How often the status is sent where there is no watchdog, milliseconds. */
const STATUS_MS = 30_000;
const MS_PER_MICROSECOND = 1 / 1000;

interface ServiceManager {
  /** The service is up; from now on the watchdog is fed. */
  ready(): void;
  stopping(): void;
  close(): void;
}

interface ServiceSources {
  /** True while the work goes on. */
  readonly isAlive: () => boolean;
  /** One line for `systemctl status`. */
  readonly status: () => string;
  readonly onTrouble: (text: string) => void;
}

/** @param environment NOTIFY_SOCKET and WATCHDOG_USEC, as systemd sets them */
export function notifyServiceManager(
  sources: ServiceSources,
  environment: NodeJS.ProcessEnv = process.env,
): ServiceManager {
  if (environment.NOTIFY_SOCKET === undefined) return { ready() {}, stopping() {}, close() {} };
  const watchdogMs = Number(environment.WATCHDOG_USEC ?? 0) * MS_PER_MICROSECOND;
  const periodMs = watchdogMs > 0 ? watchdogMs / 2 : STATUS_MS;
  let timer: NodeJS.Timeout | null = null;
  let isSending = false;
  /** By name, so that of each only the newest waits. */
  const waiting = new Map<string, string>();

  const notify = (words: readonly string[]) => {
    for (const word of words) waiting.set(word.split("=")[0]!, word);
    if (isSending) return;
    isSending = true;
    const said = [...waiting.values()];
    waiting.clear();
    execFile("systemd-notify", said, { timeout: NOTIFY_MS, env: environment }, (error) => {
      isSending = false;
      if (error !== null) {
        sources.onTrouble(`systemd-notify: expected to notify the service manager, found: ${error.message}`);
      }
      if (waiting.size > 0) notify([]);
    });
  };
  const feed = () => {
    const alive = watchdogMs > 0 && sources.isAlive();
    notify([...(alive ? ["WATCHDOG=1"] : []), `STATUS=${sources.status()}`]);
  };
  return {
    ready: () => {
      notify(["READY=1", `STATUS=${sources.status()}`]);
      timer = setInterval(feed, periodMs);
      timer.unref();
    },
    stopping: () => notify(["STOPPING=1"]),
    close: () => {
      if (timer !== null) clearInterval(timer);
    },
  };
}
