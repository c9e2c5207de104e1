/**
 * The machine's host on Linux: a key in memory, Node's HMAC, and an end that can be awaited.
 *
 * Promise: the lamp is dark before anything is read, and everything of machine-host.ts.
 */
import { MachineHost } from "#host/machine-host";
import { toHex } from "#payment/bytes";
import { signWith } from "#payment/signer";
import { tagKeyBetween } from "#payment/tag-key";
import { hmacSha256 } from "./hmac.ts";
import type { Host, HostParts } from "./host-parts.ts";
import { openMessage } from "./inbox.ts";

export { PORT_ANSWER_MS } from "#host/machine-host";
export type { Description, HostCounters } from "#host/machine-parts";
export type { Host, HostLink, HostParts } from "./host-parts.ts";

/** Starts a device. Throws what `journal.load` throws, with the lamp dark. */
export function startHost(parts: HostParts): Host {
  const { key, gatewayPublicKey, link } = parts;
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, gatewayPublicKey) };
  const machine = new MachineHost({
    ...parts,
    publicKey: toHex(key.publicKey),
    tagger,
    open: (leaf, payload, take) => take(openMessage(tagger, key.address, leaf, payload)),
    signer: parts.signer ?? signWith(key),
  });
  machine.start();
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    const error = await new Promise<string | null>((resolve) => machine.stop(resolve));
    await link.close();
    if (error !== null) throw new Error(`the last checkpoint was not stored: ${error}`);
  };
  return {
    counters: machine.counters,
    state: () => machine.state(),
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}
