/**
 * A seller that is paid and then answers nobody any more.
 *
 * Promise: the payment after the last one that it answers is taken, and is on disk; neither it nor any later request gets a
 * byte, and their connections stay open as long as their senders wait.
 */
import type { RequestListener } from "node:http";

/** Payments that it answers before it is gone: enough for buyers to trust it. */
const ANSWERED_MAX = 3;

export function vanishing(listener: RequestListener): RequestListener {
  let paid = 0;
  return (request, response) => {
    if (paid > ANSWERED_MAX) return;
    const end = response.end.bind(response) as (...rest: unknown[]) => typeof response;
    response.end = (...rest: unknown[]) => {
      const isPayment = request.headers["payment-signature"] !== undefined;
      if (isPayment && response.statusCode === 200) paid += 1;
      // What is written before the end is kept back with it.
      return paid > ANSWERED_MAX ? response : end(...rest);
    };
    listener(request, response);
  };
}
