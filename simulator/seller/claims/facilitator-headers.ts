/**
 * The headers by which a facilitator knows a seller: lines of a file, or what a command prints.
 *
 * Promise: a file is read again when it changed, a command is run again after RENEW_MS or when its headers were refused;
 * no header's value is ever printed.
 */
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { promisify } from "node:util";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";

export type HeaderSource =
  | { readonly kind: "file"; readonly file: string }
  /** Run by the shell. */
  | { readonly kind: "command"; readonly command: string };

type Headers = Record<string, string>;

/** As the official client wants them: by what is asked. */
interface HeadersByRequest {
  readonly verify: Headers;
  readonly settle: Headers;
  readonly supported: Headers;
}

export interface AuthenticationHeaders {
  read(): Promise<HeadersByRequest>;
  /** They were refused: the next ones are made anew. */
  renew(): void;
}

/** Tokens of hosted facilitators live two minutes. */
const RENEW_MS = 60_000;
const COMMAND_MS = 10_000;
const BYTES_MAX = 16_384;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\x20-\x7e]{1,8000})$/;

/** Throws one line when a file cannot be used. */
export function openHeaders(source: HeaderSource): AuthenticationHeaders {
  return source.kind === "file" ? new HeaderFile(source.file) : new HeaderCommand(source.command);
}

class HeaderFile implements AuthenticationHeaders {
  readonly #file: string;
  #headers: HeadersByRequest;
  #changedMs: number;

  constructor(file: string) {
    this.#file = file;
    this.#headers = headersIn(readText(file, file, BYTES_MAX), file);
    this.#changedMs = statSync(file).mtimeMs;
  }

  async read(): Promise<HeadersByRequest> {
    const changedMs = statSync(this.#file, { throwIfNoEntry: false })?.mtimeMs ?? this.#changedMs;
    if (changedMs !== this.#changedMs) {
      this.#headers = headersIn(readText(this.#file, this.#file, BYTES_MAX), this.#file);
      this.#changedMs = changedMs;
    }
    return this.#headers;
  }

  renew(): void {
    this.#changedMs = Number.NaN;
  }
}

class HeaderCommand implements AuthenticationHeaders {
  readonly #command: string;
  #headers: Promise<HeadersByRequest> | null = null;
  #madeAtMs = 0;

  constructor(command: string) {
    this.#command = command;
  }

  read(): Promise<HeadersByRequest> {
    const nowMs = performance.now();
    if (this.#headers === null || nowMs - this.#madeAtMs > RENEW_MS) {
      this.#madeAtMs = nowMs;
      this.#headers = this.#run();
      this.#headers.catch(() => this.renew());
    }
    return this.#headers;
  }

  renew(): void {
    this.#headers = null;
  }

  async #run(): Promise<HeadersByRequest> {
    const options = { timeout: COMMAND_MS, maxBuffer: BYTES_MAX };
    try {
      const { stdout } = await promisify(execFile)("/bin/sh", ["-c", this.#command], options);
      return headersIn(stdout, "the facilitator's command");
    } catch (error) {
      if (error instanceof Watt402Error) throw error;
      const { code, killed } = error as { code?: unknown; killed?: boolean };
      const found = killed === true ? `none within ${COMMAND_MS / 1000} s` : `exit code ${String(code)}`;
      throw new Watt402Error("unreachable", `the facilitator's command: expected headers, found ${found}`);
    }
  }
}

/** Lines "Name: value" for every request, or lines under [verify], [settle], [supported]. */
function headersIn(text: string, where: string): HeadersByRequest {
  const headers: { [request in keyof HeadersByRequest]: Headers } = { verify: {}, settle: {}, supported: {} };
  let sections = Object.keys(headers) as (keyof HeadersByRequest)[];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, section] = /^\[(verify|settle|supported)\]$/.exec(line.trim()) ?? [];
    if (section !== undefined) {
      sections = [section as keyof HeadersByRequest];
      continue;
    }
    const [, name, value] = HEADER.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new Watt402Error(
        "file-invalid",
        `${where}: line ${index + 1}: expected "Name: value" or [verify], [settle], [supported], found ${line.length} other characters`,
      );
    }
    for (const request of sections) headers[request][name] = value;
  }
  return headers;
}
