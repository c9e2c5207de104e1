/**
 * The kernel's devices as files.
 *
 * Promise: every call is one system call's worth of work and is done when it returns; a failing one
 * throws the platform's error with its code. The root may be a tree in place of /sys.
 */

import { accessSync, constants, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";

export interface Sysfs {
  readonly root: string;
  /** A file's text without the line end. */
  read(path: string): string;
  /** Never creates a file: the kernel makes them, or they are missing. */
  write(path: string, text: string): void;
  /** Names in a folder, sorted; none when there is no such folder. */
  list(path: string): readonly string[];
  /** The last part of where a link points to; null when it is no link. */
  linkName(path: string): string | null;
  isWritable(path: string): boolean;
}

/** @param root "/sys", or a tree in its place */
export function openSysfs(root: string): Sysfs {
  return {
    root,
    read: (path) => readFileSync(join(root, path), "utf8").trim(),
    write: (path, text) => writeFileSync(join(root, path), text, { flag: "r+" }),
    list: (path) => {
      try {
        return readdirSync(join(root, path)).sort();
      } catch (error) {
        if (codeOf(error) === "ENOENT") return [];
        throw error;
      }
    },
    linkName: (path) => {
      try {
        return basename(readlinkSync(join(root, path)));
      } catch {
        return null;
      }
    },
    isWritable: (path) => {
      try {
        accessSync(join(root, path), constants.W_OK);
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** The platform's name of an error, as ENOENT; its message when it has none. */
export function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** Why a device's file could not be used, and what to do about it. */
export function fileTrouble(name: string, sysfs: Sysfs, path: string, error: unknown): Error {
  const code = codeOf(error);
  const remedy =
    code === "EACCES" || code === "EPERM"
      ? "this user may not use it: install the package's udev rule, or add the user to the rule's group"
      : code === "EBUSY"
        ? "another driver or program holds the pin: remove its overlay, or stop it"
        : "see what `dmesg` says of it";
  return new Watt402Error(
    "file-inaccessible",
    `${name}: expected to use ${join(sysfs.root, path)}, found ${code}; ${remedy}`,
  );
}
