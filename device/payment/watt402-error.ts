/**
 * Errors that a caller may handle.
 *
 * Promise: each carries a code of a closed list beside its text, so that no program has to read the text to decide.
 * An error without a code is a fault of the program itself, or one of a library's.
 */

export type ErrorCode =
  /** A configuration, flag, environment variable or scenario asks for what cannot be. */
  | "config-invalid"
  /** A file of people (register map, city, list, key, certificate) does not hold what it should. */
  | "file-invalid"
  /** A file or folder cannot be read or written: absent, not permitted, or open to others. */
  | "file-inaccessible"
  /** An argument is outside its range. */
  | "value-invalid"
  /** What was asked for by its name does not exist. */
  | "not-found"
  /** No key where one is needed, or one where none may be. */
  | "key-missing"
  | "key-exists"
  /** A passphrase or password opens nothing, or is absent. */
  | "passphrase-wrong"
  /** A journal, checkpoint or ledger is not what was written: restore a backup. */
  | "data-damaged"
  /** A newer program wrote it. */
  | "data-newer"
  /** Another process has it: a journal, a ledger, an address, a pin. */
  | "in-use"
  /** No answer: broker, node of the chain, database, seller, meter, board. Trying again may help. */
  | "unreachable"
  /** It answers, but not as it should: another part, version or protocol. */
  | "unexpected-answer"
  /** The node of the chain is one of another chain. */
  | "wrong-chain"
  /** The chain refused a transaction. */
  | "reverted"
  /** A bound is reached; it gets free again. */
  | "full"
  /** It was closed and takes nothing more. */
  | "closed"
  /** Another gateway of the cluster has the device. */
  | "not-owner"
  /** A limit of money forbids it. */
  | "limit-reached";

/** @example catch (error) { if (error instanceof Watt402Error && error.code === "unreachable") again(); } */
export class Watt402Error extends Error {
  override readonly name: string = "Watt402Error";
  readonly code: ErrorCode;

  /** @param message one line: what was expected, what was found, where, and what to do */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whether it is an error of this code. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof Watt402Error && error.code === code;
}

/** An error with where it happened before its text; it keeps its code. @param otherwise the code when it has none */
export function at(where: string, error: unknown, otherwise: ErrorCode): Watt402Error {
  const code = error instanceof Watt402Error ? error.code : otherwise;
  const message = error instanceof Error ? error.message : String(error);
  return new Watt402Error(code, `${where}: ${message}`, { cause: error });
}
