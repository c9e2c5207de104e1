/**
 * Enrolment put together from a configuration: mode, allow-list, the ledger's decisions, and the filter.
 *
 * Promise: what the operator decides, or writes into the allow-list, takes effect within seconds.
 */

import { detach } from "#core/detach";
import { type FileWatch, watchFiles } from "../../device/node/config/file-watch.ts";
import type { Config } from "../config/config.ts";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Logger } from "../purchase/ports.ts";
import { readAllowList } from "./allow-list.ts";
import { type Enrolments, openEnrolment } from "./enrolment.ts";
import { EnrolmentFilter, type EnrolmentFilterParts } from "./enrolment-filter.ts";

export interface EnrolmentService {
  /** Null when an authenticated device may log in, else why not. */
  barred(device: string): Promise<string | null>;
  /** On the allow-list, or approved by a person. */
  isEnrolled(device: string): Promise<boolean>;
  /** The filter between broker and sessions; it looks for decisions until `stop`. */
  openFilter(parts: Omit<EnrolmentFilterParts, "enrolment" | "ledger" | "note">): EnrolmentFilter;
  /** Reads the allow-list again. */
  reload(): void;
  stop(): void;
}

const LOOK_EVERY_MS = 2_000;

/** The allow-list that the configuration names. Throws one line. */
export function readAllowed({ enrolment }: Config): ReadonlySet<string> {
  return enrolment.allowFile === undefined ? new Set() : readAllowList(enrolment.allowFile);
}

/** @param atStart the allow-list as it is now */
export function openEnrolmentService(
  config: Config,
  atStart: ReadonlySet<string>,
  ledger: Enrolments,
  note: Logger,
): EnrolmentService {
  const { mode, allowFile, pendingMax } = config.enrolment;
  let allowed = atStart;
  let filter: EnrolmentFilter | null = null;
  let timer: NodeJS.Timeout | null = null;
  const enrolment = openEnrolment({
    mode,
    pendingMax,
    ledger,
    allowed: () => allowed,
    now: () => Date.now() / 1000,
  });
  const read = (file: string) => () => {
    allowed = readAllowList(file);
    filter?.reconsider();
  };
  const list: FileWatch | null =
    allowFile === undefined ? null : watchFiles("the allow-list", [allowFile], read(allowFile), note);

  return {
    async barred(device) {
      const state = await enrolment.state(device);
      if (state !== "refused") return null;
      return mode === "allow-list"
        ? "the device is not on the allow-list, or was refused"
        : "the device was refused";
    },
    isEnrolled: async (device) =>
      allowed.has(device) || (await ledger.enrolment(device))?.state === "approved",
    openFilter(parts) {
      const opened = new EnrolmentFilter(
        { ...parts, enrolment, ledger, note },
        { devicesMax: config.limits.devices, pendingMax },
      );
      filter = opened;
      const look = () => detach(opened.look(), noteFailure(note, "looking for decisions on enrolment"));
      look();
      timer = setInterval(look, LOOK_EVERY_MS);
      return opened;
    },
    reload: () => list?.now(),
    stop() {
      list?.stop();
      if (timer !== null) clearInterval(timer);
    },
  };
}
