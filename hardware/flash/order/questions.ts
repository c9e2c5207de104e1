/**
 * What an installer at a terminal is asked when he has not said it.
 *
 * Promise: each answer is checked at once by the same rules as options and CSV columns, and asked again
 * until it fits.
 */
import { confirm, input, password, select } from "@inquirer/prompts";
import { FIELDS, type FieldName, type Fields, SECRETS } from "./fields.ts";
import { readOrder } from "./order.ts";
import { readOwnMap } from "./own-map.ts";
import { lampNames, meterNames } from "./part-choice.ts";

/** Asks for every field that has no value yet; `out` when it is not known either. */
export async function askFields(given: Fields): Promise<Fields> {
  const values: Partial<Record<FieldName, string>> = { ...given.values };
  const ask = async (name: FieldName) => {
    if (values[name] === undefined) values[name] = await answer(name, { ...given, values });
  };
  for (const name of ["hostname", "gateway", "gateway-key"] as const) await ask(name);
  const meters = values.map ? [readOwnMap(values.map).name] : meterNames();
  if (values.meter === undefined) values.meter = await askPart("meter", meters, { ...given, values });
  if (values.lamp === undefined) values.lamp = await askPart("lamp", lampNames(), { ...given, values });
  await ask("rated-watts");
  if (values.steps === undefined) await ask("sun");
  if (!values.sun && values.steps === undefined) await ask("steps");
  await ask("ssh-key");
  const wireless =
    values["wifi-ssid"] ?? ((await confirm({ message: "Wi-Fi?", default: false })) ? undefined : "");
  if (wireless !== "")
    for (const name of ["wifi-ssid", "wifi-country", "wifi-password"] as const) await ask(name);
  return { values, set: given.set };
}

/** Where the card is mounted. */
export function askOut(): Promise<string> {
  return input({ message: "out: the card's boot partition, as it is mounted, or a folder", required: true });
}

function answer(name: FieldName, so: Fields): Promise<string> {
  const { about, fallback } = FIELDS.find((field) => field.name === name)!;
  const validate = (text: string) => faultOf(name, text, so) ?? true;
  if (SECRETS.some((secret) => secret === name))
    return password({ message: `${name}: ${about}`, mask: true, validate });
  return input({ message: `${name}: ${about}`, validate, required: fallback === null });
}

/** A name from the drivers' table, then its keys. */
async function askPart(name: "meter" | "lamp", names: readonly string[], so: Fields): Promise<string> {
  const chosen = await select({ message: `${name}:`, choices: names.map((value) => ({ value })) });
  const keys = await input({
    message: `${chosen}'s keys, as key=value with commas between; empty for what is usual`,
    validate: (text) => faultOf(name, joined(chosen, text), so) ?? true,
  });
  return joined(chosen, keys);
}

function joined(name: string, keys: string): string {
  return keys.trim() === "" ? name : `${name},${keys.trim()}`;
}

/** What is wrong with this answer; null when nothing is, whatever is still missing elsewhere. */
function faultOf(name: FieldName, text: string, so: Fields): string | null {
  const read = readOrder({ ...so, values: { ...so.values, [name]: text } });
  if ("order" in read) return null;
  return read.faults.find(({ field }) => field === name && text.trim() !== "")?.text ?? null;
}
