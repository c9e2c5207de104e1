/**
 * Who may look: everybody on this machine while the gateway listens on loopback only, else who has the token.
 *
 * Promise: the token is compared in constant time and never sent back; a browser keeps a cookie that says
 * it knew the token, good for this run of the gateway; a web page elsewhere cannot look through a visitor's
 * browser (its host name is refused, its cookie is not sent).
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

export const COOKIE = "watt402";

export interface Access {
  /** Null when the request may pass; otherwise why not. */
  refusal(headers: Readonly<Record<string, string | string[] | undefined>>): AccessRefusal | null;
  /** The cookie for a right token; null for a wrong one. */
  login(token: string): string | null;
  readonly isOpen: boolean;
}

export type AccessRefusal = "login-required" | "wrong-host";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)$/;

export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** @param token null leaves the door open to whoever is on this machine */
export function openAccess(token: string | null): Access {
  const secret = randomBytes(32);
  const proof = createHmac("sha256", secret).update("logged in").digest("hex");
  // Compared by digest: of equal length whatever was sent.
  const digest = (text: string) => createHmac("sha256", secret).update(text).digest();
  const isSame = (left: string, right: string) => timingSafeEqual(digest(left), digest(right));

  return {
    isOpen: token === null,
    refusal(headers) {
      if (token === null) {
        // Without a token, a name that somebody's DNS points here must not open the door.
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
    login(given) {
      if (token === null || !isSame(given, token)) return null;
      return `${COOKIE}=${proof}; Path=/; HttpOnly; SameSite=Strict`;
    },
  };
}
