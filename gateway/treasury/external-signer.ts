/**
 * A treasury whose key is somewhere else: a signer that is asked over HTTP.
 *
 * The signer answers `POST <url>` with `Authorization: Bearer <token>` and the JSON body
 * `{"address": "0x...", "digest": "0x<64 hex digits>"}` by status 200 and `{"signature": "0x<130 hex digits>"}`:
 * r, s and v (27 or 28) of that address's key over the digest.
 *
 * Promise: a signature is used only when it is this address's over this digest; whatever else the signer says
 * is an error, and nothing is deposited.
 */

import { request } from "undici";
import { z } from "zod";
import { fromHex, type Hex, toHex } from "#payment/bytes";
import { recoverAddress } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { Treasury } from "../purchase/ports.ts";

interface SignerOptions {
  readonly url: string;
  readonly token: string;
  /** Of the treasury, 0x and 40 hex digits. */
  readonly address: string;
}

const TIMEOUT_MS = 10_000;
const ANSWER_MAX_CHARACTERS = 4_096;

const ANSWER = z.object({ signature: z.string().regex(/^0x[0-9a-fA-F]{130}$/) });

export function externalSigner(options: SignerOptions): Treasury {
  const { url, token } = options;
  const address = options.address.toLowerCase() as Hex;
  const failed = (found: string) =>
    new Watt402Error(
      "unexpected-answer",
      `treasury.signerUrl ${url}: expected a signature of ${address}, found ${found}`,
    );
  return {
    address,
    async sign(digest) {
      let status: number;
      let text: string;
      try {
        const response = await request(url, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ address, digest: toHex(digest) }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        status = response.statusCode;
        text = await bounded(response.body);
      } catch (error) {
        throw failed(`no answer (${error instanceof Error ? error.message : String(error)})`);
      }
      if (status !== 200) throw failed(`HTTP ${status}`);
      const answer = ANSWER.safeParse(jsonIn(text));
      if (!answer.success) throw failed("another answer");
      const signature = fromHex(answer.data.signature.toLowerCase() as Hex);
      const signer = recoverAddress(digest, signature);
      if (signer !== address) throw failed(`one of ${signer ?? "no account"}`);
      return signature;
    },
  };
}

/** Empty when it is longer than any signature: no more of it is read. */
async function bounded(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const piece of body) {
    text += piece.toString("latin1");
    // Leaving the loop ends the connection.
    if (text.length > ANSWER_MAX_CHARACTERS) return "";
  }
  return text;
}

function jsonIn(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
