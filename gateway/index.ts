/**
 * `watt402/gateway`: a gateway inside another program.
 *
 * Promise: the same as `watt402-gateway` by the same configuration; it ends by `stop()`. What can go wrong on the way carries a code:
 * `Watt402Error` of `watt402/payment`.
 */
export type { Config } from "./config/config.ts";
export { type Layers, type LoadedConfig, loadConfig } from "./config/layers.ts";
export { type Gateway, type GatewayStatus, startGateway } from "./gateway.ts";
export type { Logger } from "./purchase/ports.ts";
