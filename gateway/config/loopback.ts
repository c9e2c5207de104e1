/**
 * Addresses that only this machine reaches.
 *
 * Promise: a name is loopback only when it is one of the few that every machine keeps for itself.
 */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)$/;

export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}
