// A real disk whose steps can be made to fail or to wait, as a full, broken or slow one does.

import { type DiskFile, type SegmentDisk, segmentDisk } from "#gateway/ledger/journal/segment-disk";

export type Step = "open" | "write" | "datasync" | "syncFolder" | "remove" | "close";

export interface TroubledDisk extends SegmentDisk {
  /** From now on the step fails with this code, or works again when null. */
  fail(step: Step, code: string | null): void;
  /** The step waits from now on; the result lets all that wait go on, and no more wait. */
  hold(step: Step): () => void;
  /** Resolves once somebody waits in a step that is held. */
  held(): Promise<void>;
}

export function troubledDisk(): TroubledDisk {
  const codes = new Map<Step, string>();
  let gate: { readonly step: Step; readonly open: Promise<void> } | null = null;
  let arrived = () => {};
  let someone: Promise<void> = new Promise(() => {});

  async function pass(step: Step): Promise<void> {
    if (gate?.step === step) {
      arrived();
      await gate.open;
    }
    const code = codes.get(step);
    if (code !== undefined) throw Object.assign(new Error(`${code}: ${step}`), { code });
  }

  const troubled = (file: DiskFile): DiskFile => ({
    async write(bytes, offset, length, position) {
      try {
        await pass("write");
      } catch (error) {
        // A disk that runs full takes a part.
        await file.write(bytes, offset, length >> 1, position);
        throw error;
      }
      return file.write(bytes, offset, length, position);
    },
    async datasync() {
      await pass("datasync");
      await file.datasync();
    },
    sync: () => file.sync(),
    async close() {
      await file.close();
      await pass("close");
    },
  });

  return {
    ...segmentDisk,
    async open(path, flags) {
      await pass("open");
      return troubled(await segmentDisk.open(path, flags));
    },
    async syncFolder(path) {
      await pass("syncFolder");
      await segmentDisk.syncFolder(path);
    },
    async remove(path) {
      await pass("remove");
      await segmentDisk.remove(path);
    },
    fail(step, code) {
      if (code === null) codes.delete(step);
      else codes.set(step, code);
    },
    hold(step) {
      let release = () => {};
      const open = new Promise<void>((resolve) => {
        release = resolve;
      });
      gate = { step, open };
      someone = new Promise((resolve) => {
        arrived = resolve;
      });
      return () => {
        gate = null;
        release();
      };
    },
    held: () => someone,
  };
}
