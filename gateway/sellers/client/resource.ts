/**
 * One HTTP exchange with any resource, for the general transport.
 *
 * Promise: what the resource said comes back unchanged; see purchase/general/forward.ts.
 */
import type { FetchResource } from "../../purchase/general/forward.ts";
import type { Http } from "./seller-http.ts";

export function fetchResource(http: Http): FetchResource {
  return async (request, payment) => {
    const answer = await http.call(request.method, request.url, payment, request.body);
    switch (answer.kind) {
      case "paid":
      case "refused":
        return { kind: "answer", status: answer.status, body: answer.body, settlement: answer.receipt };
      case "payment-required":
        return { kind: "payment-required", paymentRequired: answer.required };
      case "unavailable":
        return answer;
    }
  };
}
