/**
 * HMAC-SHA256 by the platform's own library.
 *
 * Promise: 32 bytes for any key and message, without allocating more than the digest.
 */
import { createHmac } from "node:crypto";
import type { Hmac } from "#core/ports";

export const hmacSha256: Hmac = (key, message) => createHmac("sha256", key).update(message).digest();
