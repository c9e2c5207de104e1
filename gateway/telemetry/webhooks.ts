/**
 * Alarms sent to URLs of the operator's choice, signed, again and again until they arrive or grow old.
 *
 * Promise: a bounded queue per webhook (when it is full the oldest is dropped, and that is logged); retries
 * with back-off; the body is signed, so a receiver knows the sender, and that it was sent just now.
 *
 * Headers: `watt402-timestamp` (unix seconds) and `watt402-signature` (`sha256=` and the hex HMAC-SHA256 of
 * `<timestamp>.<body>`). A receiver answers 2xx; `id` in the body shows repetitions.
 */

import { createHmac, randomUUID } from "node:crypto";
import { request } from "undici";
import { detach } from "#core/detach";
import type { AlarmKind } from "../config/monitoring-section.ts";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Logger } from "../purchase/ports.ts";
import type { Alarm } from "./alarms.ts";

interface WebhookOptions {
  readonly url: string;
  readonly events: readonly AlarmKind[];
  readonly secret: string;
}

interface WebhookPace {
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

export interface Webhooks {
  send(alarm: Alarm): void;
  readonly queued: number;
  close(): void;
}

export const QUEUE_MAX = 100;
const ATTEMPTS_MAX = 12;
const TIMEOUT_MS = 10_000;
const ANSWER_MAX_BYTES = 4_096;
const PACE: WebhookPace = { firstDelayMs: 1_000, maxDelayMs: 300_000 };

interface Delivery {
  readonly body: string;
  attempts: number;
}

export function openWebhooks(hooks: readonly WebhookOptions[], note: Logger, pace = PACE): Webhooks {
  const open = hooks.map((hook) => openWebhook(hook, note, pace));
  return {
    send(alarm) {
      for (const hook of open) hook.send(alarm);
    },
    get queued() {
      return open.reduce((sum, hook) => sum + hook.queued, 0);
    },
    close() {
      for (const hook of open) hook.close();
    },
  };
}

function openWebhook({ url, events, secret }: WebhookOptions, note: Logger, pace: WebhookPace): Webhooks {
  const queue: Delivery[] = [];
  const closed = new AbortController();
  let timer: NodeJS.Timeout | null = null;
  let isSending = false;

  function wake(delayMs: number): void {
    if (timer !== null || isSending || closed.signal.aborted) return;
    timer = setTimeout(() => {
      timer = null;
      detach(sendFirst(), noteFailure(note, "sending a webhook", { url }));
    }, delayMs);
    timer.unref();
  }

  async function sendFirst(): Promise<void> {
    const delivery = queue[0];
    if (delivery === undefined) return;
    isSending = true;
    delivery.attempts += 1;
    const reason = await post(url, delivery.body, secret, closed.signal);
    isSending = false;
    if (reason === null || delivery.attempts >= ATTEMPTS_MAX) {
      if (reason !== null)
        note("warn", "a webhook was given up", { url, reason, attempts: delivery.attempts });
      // While it was on its way the queue may have pushed it out.
      if (queue[0] === delivery) queue.shift();
      wake(0);
      return;
    }
    note("warn", "a webhook did not arrive; it is sent again", { url, reason });
    wake(Math.min(pace.maxDelayMs, pace.firstDelayMs * 2 ** (delivery.attempts - 1)));
  }

  return {
    send(alarm) {
      if (!events.includes(alarm.kind)) return;
      if (queue.length >= QUEUE_MAX) {
        queue.shift();
        note("warn", "the webhook's queue is full; its oldest message is lost", { url });
      }
      queue.push({ body: JSON.stringify({ id: randomUUID(), ...alarm }), attempts: 0 });
      wake(0);
    },
    get queued() {
      return queue.length;
    },
    close() {
      closed.abort();
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** The signature of a body sent at a time. */
export function signatureOf(secret: string, timestampSeconds: number, body: string): string {
  return `sha256=${createHmac("sha256", secret).update(`${timestampSeconds}.${body}`).digest("hex")}`;
}

/** Null when it arrived, else why not. */
async function post(url: string, body: string, secret: string, closed: AbortSignal): Promise<string | null> {
  const timestamp = Math.floor(Date.now() / 1000);
  try {
    const response = await request(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "watt402-timestamp": String(timestamp),
        "watt402-signature": signatureOf(secret, timestamp, body),
      },
      body,
      signal: AbortSignal.any([closed, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body.dump({ limit: ANSWER_MAX_BYTES });
    const { statusCode } = response;
    return statusCode >= 200 && statusCode < 300 ? null : `HTTP ${statusCode}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
