/**
 * What a gateway answers by itself over the general transport, beside the resources of listed origins.
 *
 * Promise: no URL of a seller begins so; all of it is free.
 */

/** Beginning of the names of what is the gateway's own. */
export const OWN = "watt402:";
/** `GET`: the prices ahead at the device's seller. */
export const PRICES_URL = `${OWN}prices`;
/** `GET`, with a hash behind it: terms with an offer that binds to them. */
export const TERMS_URL = `${OWN}terms/`;
/** `POST`: a receipt of use of the device's channel, signed by its seller; `PUT`: the same, signed by the device too. */
export const RECEIPT_URL = `${OWN}receipt`;
