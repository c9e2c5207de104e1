/**
 * The configuration's sections about who may speak: the gateway's own broker with its doors and bounds,
 * and enrolment.
 *
 * Promise: a listener that is named has all it needs; no other is open.
 */

import { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { expiryOf } from "./certificates.ts";
import type { EXTERNAL } from "./external-broker-section.ts";
import { isLoopback } from "./loopback.ts";

/** "aedes": a broker library. "direct": the gateway itself, at less than half the cost; no other clients than devices. */
export const SERVERS = ["aedes", "direct"] as const;
export type Server = (typeof SERVERS)[number];

export type CertificateUse = "broker" | "clientCa" | "externalBroker";

const port = z.number().int().min(0).max(65_535);

const TLS = z.strictObject({
  port: port.default(8883),
  /** PEM files; read again when they change, and on SIGHUP. */
  certFile: z.string(),
  keyFile: z.string(),
  /** PEM of the authorities whose certificates prove a device. */
  clientCaFile: z.string().optional(),
  /** "optional": a device's certificate or its password; "required": its certificate alone. */
  clientCertificates: z.enum(["none", "optional", "required"]).default("none"),
});

const WEB_SOCKET = z.strictObject({
  /** ws: for what stays on this machine or behind a proxy. */
  port: port.optional(),
  /** wss, with the certificate of broker.tls. */
  securePort: port.optional(),
  path: z
    .string()
    .regex(/^\/[\w./-]{0,255}$/, 'expected a path like "/mqtt"')
    .default("/mqtt"),
});

export const EMBEDDED = z.strictObject({
  kind: z.literal("embedded"),
  /** "direct": the gateway speaks MQTT itself, to devices alone, at less than half the cost. */
  server: z.enum(SERVERS).default("aedes"),
  host: z.string().default("127.0.0.1"),
  port: port.default(1883),
  /** False: no listener without TLS. */
  plain: z.boolean().default(true),
  tls: TLS.optional(),
  webSocket: WEB_SOCKET.optional(),
  /** A sixteenth of them, at most 64, is kept free of devices that never bought. */
  connections: z.number().int().min(1).max(1_000_000).default(20_000),
  /** Of one device, over the long run. */
  messagesPerSecond: z.number().min(0.1).max(100_000).default(10),
  /** Of one device, at once after a silence. */
  messagesBurst: z.number().int().min(10).max(1_000_000).default(100),
});

const ENROLMENT_MODES = ["open", "allow-list", "pending"] as const;

export const ENROLMENT = z.strictObject({
  /** Absent: "open" on this machine alone; who listens to others says whom he lets in. */
  mode: z.enum(ENROLMENT_MODES).optional(),
  /** Devices that may buy, one address a line; read again when it changes, and on SIGHUP. */
  allowFile: z.string().optional(),
  /** Devices that may wait for approval at once; more are turned away. */
  pendingMax: z.number().int().min(1).max(1_000_000).default(10_000),
});

type Embedded = z.infer<typeof EMBEDDED>;
type Section = z.infer<typeof ENROLMENT>;
export type Enrolment = Section & { readonly mode: (typeof ENROLMENT_MODES)[number] };

/** What one member of these sections asks of another, and who may buy then. Throws one line. */
export function checkAccess(
  broker: { readonly kind: string; readonly host?: string; readonly url?: string },
  enrolment: Section,
  source: string,
): Enrolment {
  if (broker.kind === "embedded") checkDoors(broker as Embedded, source);
  if (enrolment.mode === "allow-list" && enrolment.allowFile === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: enrolment.allowFile: expected a file beside mode "allow-list", found none`,
    );
  }
  if (enrolment.mode !== undefined) return { ...enrolment, mode: enrolment.mode };
  const host = broker.host ?? new URL(broker.url!).hostname;
  if (!isLoopback(host)) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: enrolment.mode: expected it to be written, because devices reach the broker at ${host} from ` +
        'elsewhere; found none: "open" lets every key buy on the treasury\'s money, "allow-list" and "pending" do not',
    );
  }
  return { ...enrolment, mode: "open" };
}

function checkDoors({ plain, tls, webSocket }: Embedded, source: string): void {
  if (!plain && tls === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: broker.plain: expected true while there is no broker.tls`,
    );
  }
  if (webSocket !== undefined && webSocket.port === undefined && webSocket.securePort === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: broker.webSocket: expected port, securePort or both, found neither`,
    );
  }
  if (webSocket?.securePort !== undefined && tls === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: broker.webSocket.securePort: expected broker.tls beside it`,
    );
  }
  if (tls !== undefined && tls.clientCertificates !== "none" && tls.clientCaFile === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: broker.tls.clientCaFile: expected a file, because clientCertificates is "${tls.clientCertificates}"`,
    );
  }
  if (tls?.clientCertificates === "required" && (plain || webSocket?.port !== undefined)) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: broker.tls.clientCertificates: "required" leaves no listener without TLS; ` +
        "set broker.plain to false and take broker.webSocket.port away",
    );
  }
}

/** The section as the broker wants it. */
export function listenersOf(broker: Embedded) {
  const { server, host, port, plain, tls, webSocket } = broker;
  return {
    server,
    host,
    port: plain ? port : null,
    tls: tls === undefined ? null : { ...tls, clientCaFile: tls.clientCaFile ?? null },
    webSocket:
      webSocket === undefined
        ? null
        : {
            port: webSocket.port ?? null,
            securePort: webSocket.securePort ?? null,
            path: webSocket.path,
          },
    connectionsMax: broker.connections,
    messages: { perSecond: broker.messagesPerSecond, burst: broker.messagesBurst },
  };
}

/** Seconds that are left to each certificate of the section, as far as it was taken over. */
export function certificatesOf(
  broker: Embedded | z.infer<typeof EXTERNAL>,
  nowSeconds: number,
): Readonly<Partial<Record<CertificateUse, number>>> {
  const files: Partial<Record<CertificateUse, string | undefined>> =
    broker.kind === "external"
      ? { externalBroker: broker.certFile }
      : { broker: broker.tls?.certFile, clientCa: broker.tls?.clientCaFile };
  const left: Partial<Record<CertificateUse, number>> = {};
  for (const [which, file] of Object.entries(files) as [CertificateUse, string | undefined][]) {
    const expiry = file === undefined ? null : expiryOf(file);
    if (expiry !== null) left[which] = expiry - nowSeconds;
  }
  return left;
}
