/**
 * What a cheating light does to its own messages, between an honest device runtime and its connection.
 *
 * Promise: only what the holder of the light's key could send is sent; without a cheat everything passes
 * unchanged. The link's bounds hold for cheats as for everything else.
 */
import type { Random } from "#core/ports";
import type { HostLink } from "#node/host";
import { hmacSha256 } from "#node/key/native-hmac";
import type { Key } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodePay, encodePay, type Pay } from "#protocol/frames";
import { sealFrame, type Tagger } from "#protocol/tag";
import type { Cheat } from "../../scenario/actions.ts";

/** Old payments kept for being sent again. */
const KEPT_MAX = 32;
/** Copies of one payment sent at once by a double spender. */
const COPIES = 3;

export class CheatingLink implements HostLink {
  /** What it does at present. */
  cheat: Cheat | null = null;
  /** Frames sent or bent so far that an honest light would not have. */
  frames = 0;
  private readonly link: HostLink;
  private readonly tagger: Tagger;
  private readonly random: Random;
  private readonly kept: Uint8Array[] = [];
  private spentAgain: Uint8Array | null = null;

  constructor(link: HostLink, key: Key, gatewayPublicKey: Uint8Array, random: Random) {
    this.link = link;
    this.tagger = { hmac: hmacSha256, key: tagKeyBetween(key, gatewayPublicKey) };
    this.random = random;
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (leaf !== "pay") this.link.publish(leaf, payload, retained);
    else this.pay(payload);
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.link.onMessage((leaf, payload) => {
      take(leaf, payload);
      if (leaf === "grant" && this.cheat === "double-spend") this.spendAgain();
    });
  }

  onChange(take: (up: boolean) => void): void {
    this.link.onChange(take);
  }

  close(): Promise<void> {
    return this.link.close();
  }

  private pay(frame: Uint8Array): void {
    const bent = this.cheat === "bad-signatures" ? this.badlySigned(frame) : frame;
    this.link.publish("pay", bent, false);
    if (this.cheat === "replay-frames" && this.kept.length > 0) {
      this.send(this.kept[Math.floor(this.random() * this.kept.length)]!);
    }
    this.kept.push(frame);
    if (this.kept.length > KEPT_MAX) this.kept.shift();
  }

  /** The money of the payment that was just answered, offered again as if it were new. */
  private spendAgain(): void {
    const latest = this.kept.at(-1);
    // Each copy is answered too: once for each payment, or they would never end.
    if (latest === undefined || latest === this.spentAgain) return;
    this.spentAgain = latest;
    const again = this.changed(latest, (pay) => ({ ...pay, again: false, register: pay.register + 1 }));
    for (let copy = 0; copy < COPIES; copy++) this.send(again);
  }

  private badlySigned(frame: Uint8Array): Uint8Array {
    this.frames++;
    return this.changed(frame, (pay) => {
      const signature = pay.signature.slice();
      signature[40]! ^= 1 + Math.floor(this.random() * 255);
      return { ...pay, signature };
    });
  }

  private send(frame: Uint8Array): void {
    this.frames++;
    this.link.publish("pay", frame, false);
  }

  /** A payment with something else in it, and a right tag: the light holds that key. */
  private changed(frame: Uint8Array, change: (pay: Pay) => Pay): Uint8Array {
    const { frame: pay } = decodePay(frame);
    return pay === null ? frame : sealFrame(this.tagger, "pay", encodePay(change(pay)));
  }
}
