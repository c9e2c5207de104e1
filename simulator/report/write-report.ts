/**
 * Writes a report as one file.
 *
 * Promise: the file is whole or not there: it is written beside its name, made durable, then renamed. That
 * it cannot be written is said before the run.
 */

import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import { pageOf } from "./page.ts";
import type { ReportModel } from "./report-model.ts";

/** Throws one line when no report could be written to this file. */
export function requireWritable(file: string): void {
  const folder = dirname(resolve(file));
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Watt402Error("file-inaccessible", `report ${file}: expected a file's name, found a folder`);
  }
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch {
    throw new Watt402Error(
      "file-inaccessible",
      `report ${file}: expected a folder that can be written to, found none at ${folder}`,
    );
  }
}

export function writeReport(file: string, model: ReportModel): void {
  const unfinished = `${file}.${process.pid}.unfinished`;
  try {
    const handle = openSync(unfinished, "wx");
    try {
      writeSync(handle, pageOf(model));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw new Watt402Error(
      "file-inaccessible",
      `report ${file}: cannot be written: ${(error as Error).message}`,
    );
  }
}
