/**
 * What an installer reads after a card was written: what changed, the light's address, how it is
 * funded, and what to do next.
 */
import { DEVICE_ADDRESS } from "../card/cloud-init.ts";
import type { Flashed } from "../flash-lights.ts";

/** The next steps, a sentence each. */
export function nextSteps({ address, hostname, user, isCard, out }: Flashed): string[] {
  return [
    ...(isCard
      ? []
      : [
          `${out} is no boot partition: copy its files onto one, and join watt402/cmdline-additions.txt and ` +
            "watt402/config-additions.txt to the image's cmdline.txt and config.txt",
        ]),
    ...(address === null
      ? [
          "the board makes its key at the first start; its address is then on the card in watt402/address.txt, " +
            `on the gateway's page, and here: ssh ${user}@${hostname}.local sudo ${DEVICE_ADDRESS}`,
        ]
      : [
          "its key is on the card, encrypted, until the board takes it: keep the card as you would the light",
        ]),
    ...fundingSteps(address ?? "<address>"),
  ];
}

function fundingSteps(address: string): string[] {
  return [
    "the gateway's treasury funds it, within its limits, as soon as it connects; where enrolment is not open, " +
      `name it first: watt402-gateway devices approve ${address}`,
    `a deposit ahead of need: watt402-gateway channels top-up ${address}`,
  ];
}

export function outcomeLines(flashed: Flashed, dryRun: boolean): string[] {
  const { hostname, out, address, instanceId, changes } = flashed;
  const changed = changes.filter(({ action }) => action !== "keep");
  return [
    `${hostname}: ${out}${dryRun ? " (dry run, nothing written)" : ""}`,
    ...(changed.length === 0
      ? ["  nothing to change"]
      : changed.map(({ path, action }) => `  ${action.padEnd(8)} ${path}`)),
    `  instance ${instanceId}`,
    ...(address === null ? [] : [`  address  ${address}`]),
    ...nextSteps(flashed).map((step) => `  - ${step}`),
  ];
}
