/** `watt402-device doctor`: every look in one list; exit code 1 when something does not work. */
import type { DeviceConfig } from "#node/config/device-config";
import type { Outcome } from "../doctor/check.ts";
import { examine } from "../doctor/examine.ts";

const MARKS: Readonly<Record<Outcome, string>> = {
  well: "ok  ",
  doubtful: "?   ",
  wrong: "FAIL",
  unknown: "-   ",
};

export async function doctorCommand(config: DeviceConfig, asJson: boolean): Promise<number> {
  const checks = await examine(config);
  const wrong = checks.filter(({ verdict }) => verdict === "wrong").length;
  const doubtful = checks.filter(({ verdict }) => verdict === "doubtful").length;
  if (asJson) console.log(JSON.stringify({ v: 1, well: wrong === 0, checks }));
  else {
    for (const { name, verdict, text } of checks) console.log(`${MARKS[verdict]} ${name.padEnd(8)} ${text}`);
    console.log(
      wrong === 0 ? `all works${doubtful > 0 ? `, ${doubtful} to mend` : ""}` : `${wrong} to repair`,
    );
  }
  return wrong === 0 ? 0 : 1;
}
