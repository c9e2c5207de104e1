/**
 * `watt402-gateway verify`: who broke what was signed, for auditors and for courts.
 *
 * Promise: it needs no gateway, no configuration and no ledger, only documents and, where one is given, a node of the
 * chain. Exit code 0: nobody is convicted; 1: somebody is, or the documents cannot be read.
 */
import { Command, InvalidArgumentError } from "commander";
import { DOCUMENTS_CHARACTERS_MAX, joinDocuments, readDocuments } from "#market/documents";
import { type ChannelOnChain, type Evidence, type Judgement, judge } from "#market/judge";
import { readText } from "#node/config/text-file";
import { readChain } from "../treasury/channel-record.ts";

interface VerifyOptions {
  readonly rpc: readonly string[];
  readonly fromBlock: bigint;
  readonly key: Evidence["sellersKeys"];
  readonly json?: true;
}

export function verifyCommand(): Command {
  return new Command("verify")
    .argument("<file...>", "documents, as `ledger documents` writes them")
    .option("--rpc <url>", "node of a chain that channels are on; repeated, one a chain", collect, [])
    .option("--from-block <number>", "first block to look at", block, 0n)
    .option("--key <payee=address>", "a key that may sign for a payee; repeated", collectKey, [])
    .option("--json", "as one JSON document")
    .action(async (files: readonly string[], options: VerifyOptions) => {
      const read = files.map((file) => readDocuments(readText(file, file, DOCUMENTS_CHARACTERS_MAX), file));
      const documents = joinDocuments(read);
      const chain = await recordedOn(options, documents);
      const judgement = judge({ ...documents, chain, sellersKeys: options.key });
      const judged = { ...judgement, terms: documents.offered.length, receipts: documents.receipts.length };
      process.stdout.write(options.json ? `${JSON.stringify(judged, null, 2)}\n` : textOf(judged));
      if (judgement.convictions.length + judgement.devices.length > 0) process.exitCode = 1;
    });
}

/** What each chain recorded of the channels that have receipts on it. */
async function recordedOn(
  { rpc, fromBlock }: VerifyOptions,
  { receipts }: Pick<Evidence, "receipts">,
): Promise<ChannelOnChain[]> {
  const found: ChannelOnChain[] = [];
  for (const url of rpc) {
    const chain = await readChain(url, fromBlock);
    const on = receipts.filter(({ receipt }) => receipt.chainId === chain.chainId);
    found.push(...(await chain.of([...new Set(on.map(({ receipt }) => receipt.channelId))])));
  }
  return found;
}

function textOf(judged: Judgement & { readonly terms: number; readonly receipts: number }): string {
  const { convictions, devices, acknowledged, missing, countersigned, terms, receipts } = judged;
  const found = convictions.length + devices.length;
  const lines = [
    `${terms} terms, ${receipts} receipts of use, ${countersigned} of them signed by the device too`,
    ...convictions.map(({ lie, seller, channelId, text }) => {
      const where = channelId === null ? "" : ` on channel ${channelId}`;
      return `CONVICTED ${seller}: ${lie}${where}: ${text}`;
    }),
    ...devices.map(
      ({ lie, device, channelId, text }) =>
        `CONVICTED device ${device}: ${lie} on channel ${channelId}: ${text}`,
    ),
    ...acknowledged.map(
      ({ channelId, charged, granted, register, toSeconds }) =>
        `both have signed, by ${toSeconds} on channel ${channelId}: charged ${charged}, granted ${granted}, register ${register}`,
    ),
    ...missing.map((what) => `missing: ${what}`),
    found === 0 ? "nobody is convicted by these documents" : `${found} convictions`,
  ];
  return `${lines.join("\n")}\n`;
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

function block(text: string): bigint {
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError("expected a block's number");
}

function collectKey(text: string, before: Evidence["sellersKeys"]): Evidence["sellersKeys"] {
  const [, payTo, key] = /^(0x[0-9a-f]{40})=(0x[0-9a-f]{40})$/.exec(text.toLowerCase()) ?? [];
  if (payTo !== undefined && key !== undefined) return [...before, { payTo, key }];
  throw new InvalidArgumentError("expected PAYEE=ADDRESS, each 0x and 40 hex digits");
}
