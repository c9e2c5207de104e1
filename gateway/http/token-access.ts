/**
 * Who may look: every program of this machine while the gateway listens on loopback only, else a holder of the token.
 *
 * Promise: the token is compared in constant time and never sent back; a browser keeps a cookie that says
 * it knew the token, good for this run of the gateway; a web page elsewhere cannot look through a user's
 * browser (its host name is refused, its cookie is not sent).
 */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { isLoopback } from "../config/loopback.ts";

const COOKIE = "watt402";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface Access {
  /** Null when the request may pass; otherwise why not. */
  refusal(headers: Headers): AccessRefusal | null;
  /** The cookie for a right token; null for a wrong one. */
  login(token: string, headers: Headers): string | null;
  readonly isOpen: boolean;
}

export type AccessRefusal = "login-required" | "wrong-host" | "cross-site";

/**
 * Whether a page of another site makes this request. A link from elsewhere to a page may be followed; what it
 * shows asks for the rest itself.
 */
function isCrossSite(headers: Headers): boolean {
  const { origin, host, "sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest } = headers;
  if (origin !== undefined) {
    const from = URL.canParse(String(origin)) ? new URL(String(origin)).host : "";
    if (from !== new URL(`http://${String(host)}`, "http://localhost").host && from !== host) return true;
  }
  if (site === undefined || site === "same-origin" || site === "none") return false;
  return mode !== "navigate" || dest !== "document";
}

/** @param token null admits every request from this machine */
export function openAccess(token: string | null): Access {
  const secret = randomBytes(32);
  const proof = createHmac("sha256", secret).update("logged in").digest("hex");
  // Compared by digest: of equal length whatever was sent.
  const digest = (text: string) => createHmac("sha256", secret).update(text).digest();
  const isSame = (left: string, right: string) => timingSafeEqual(digest(left), digest(right));

  return {
    isOpen: token === null,
    refusal(headers) {
      if (/^\s*(:\d*)?\s*$/.test(String(headers.host ?? ""))) return "wrong-host";
      if (isCrossSite(headers)) return "cross-site";
      if (token === null) {
        // Without a token, a foreign name whose DNS points here must not be admitted.
        const host = String(headers.host ?? "").replace(/:\d+$/, "");
        return isLoopback(host) ? null : "wrong-host";
      }
      const { authorization, cookie } = headers;
      const bearer =
        typeof authorization === "string" ? /^Bearer (\S+)$/i.exec(authorization)?.[1] : undefined;
      if (bearer !== undefined && isSame(bearer, token)) return null;
      const kept = new RegExp(`(?:^|;\\s*)${COOKIE}=([0-9a-f]{64})(?:;|$)`).exec(String(cookie ?? ""))?.[1];
      return kept !== undefined && isSame(kept, proof) ? null : "login-required";
    },
    login(given, { origin, "x-forwarded-proto": proto }) {
      if (token === null || !isSame(given, token)) return null;
      // TLS ends at a proxy, if anywhere: the Origin header shows it, or the proxy's header.
      const isSecure = String(origin ?? "").startsWith("https:") || proto === "https";
      return `${COOKIE}=${proof}; Path=/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
    },
  };
}
