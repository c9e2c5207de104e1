/**
 * The two text files of the boot partition that belong to the image and are only added to: cmdline.txt
 * and config.txt.
 *
 * Promise: what somebody else wrote in them stays; ours is one marked block, or tokens that name what
 * they set, so writing the same again changes nothing.
 */

import { Watt402Error } from "#payment/watt402-error";

const BEGIN = "# watt402 begin: made by watt402-flash, which replaces it as a whole";
const END = "# watt402 end";

/** What the kernel's command line must say. */
interface KernelWords {
  readonly instanceId: string;
  /** Two letters; null leaves the radio's rules as they are. */
  readonly country: string | null;
  /** The UART on the header belongs to a meter or lamp: no console may speak on it. */
  readonly freeUart: boolean;
}

/** Throws when the text is not one line: a second would never be read. */
export function withKernelWords(cmdline: string, words: KernelWords): string {
  const lines = cmdline.split("\n").filter((line) => line.trim() !== "");
  if (lines.length !== 1) {
    throw new Watt402Error(
      "file-invalid",
      `cmdline.txt: expected one line, found ${lines.length}; write the image anew`,
    );
  }
  const kept = lines[0]!
    .trim()
    .split(/\s+/)
    .filter((word) => !word.startsWith("ds=nocloud"))
    .filter((word) => words.country === null || !word.startsWith("cfg80211.ieee80211_regdom="))
    .filter((word) => !words.freeUart || !/^console=(serial0|ttyAMA0|ttyS0)(,|$)/.test(word));
  return `${[...kept, ...addedWords(words)].join(" ")}\n`;
}

/** The words alone, for a directory that has no cmdline.txt yet. */
export function addedWords({ instanceId, country }: KernelWords): string[] {
  // Without i= cloud-init would look for its data source again at each boot.
  const source = `ds=nocloud;i=${instanceId}`;
  return country === null ? [source] : [`cfg80211.ieee80211_regdom=${country}`, source];
}

/** config.txt with our block holding `lines`, at the end or where it was. Throws on half a block. */
export function withBootLines(config: string, lines: readonly string[]): string {
  const block = `${[BEGIN, "[all]", ...lines, END].join("\n")}\n`;
  const begin = config.indexOf(BEGIN);
  const end = config.indexOf(END);
  if (begin < 0 && end < 0) {
    const gap = config === "" || config.endsWith("\n") ? "" : "\n";
    return `${config}${gap}${block}`;
  }
  if (begin < 0 || end < begin) {
    throw new Watt402Error(
      "file-invalid",
      `config.txt: expected "${BEGIN}" before "${END}", found one without the other; remove it`,
    );
  }
  const rest = config.slice(end + END.length).replace(/^\n/, "");
  return `${config.slice(0, begin)}${block}${rest}`;
}
