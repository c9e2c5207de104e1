/**
 * What an installer says about one light, as text: the same names are options, columns of a CSV file and
 * questions.
 *
 * Promise: one table; nothing here checks a value.
 */
export interface Field {
  readonly name: FieldName;
  /** For the help, the questions and the page. */
  readonly about: string;
  /** The value's placeholder in the help. */
  readonly shape: string;
  /** Used when nothing is said; null when something must be said; "" when it may stay unsaid. */
  readonly fallback: string | null;
}

export const FIELD_NAMES = [
  "hostname",
  "gateway",
  "gateway-key",
  "gateway-ca",
  "broker-password",
  "meter",
  "map",
  "lamp",
  "rated-watts",
  "supply-watts",
  "sun",
  "steps",
  "payees",
  "user",
  "ssh-key",
  "wifi-ssid",
  "wifi-password",
  "wifi-country",
] as const;
export type FieldName = (typeof FIELD_NAMES)[number];

/** Every value as it was typed; `set` are settings of device.toml by key path. */
export interface Fields {
  readonly values: Readonly<Partial<Record<FieldName, string>>>;
  readonly set: Readonly<Record<string, string>>;
}

/** What is wrong with one field: which, and "expected ..., found ...". */
export interface Fault {
  readonly field: FieldName | "set";
  readonly text: string;
}

/** Fields that do not belong on a command line, where every process may read them: named by file there. */
export const SECRETS = ["wifi-password", "broker-password"] as const satisfies readonly FieldName[];

const rows: readonly (readonly [FieldName, string, string, string | null])[] = [
  ["hostname", "the light's name on its network: a-z, 0-9 and hyphens", "<name>", null],
  ["gateway", "the gateway's broker: mqtt://host:1883 or mqtts://host:8883", "<url>", null],
  ["gateway-key", "the gateway's public key, which it prints at its start", "<hex>", null],
  [
    "gateway-ca",
    "PEM file of the authority behind the gateway's certificate, when it is a private one",
    "<file>",
    "",
  ],
  [
    "broker-password",
    "for a broker that knows lights by passwords: this light's; its user name is its address",
    "<password>",
    "",
  ],
  ["meter", 'kind or register map, with its keys: "sdm120,slave=2", "pulse,line=27,..."', "<part>", null],
  ["map", "register map of your own, a .json file; --meter then begins with its name", "<file>", ""],
  ["lamp", 'kind with its keys: "led,gpio=17", "pwm,gpio=18"', "<part>", null],
  ["rated-watts", "what the lamp draws at full light", "<watts>", null],
  ["supply-watts", "the most its supply can carry; without it five thirds of the rating", "<watts>", ""],
  ["sun", 'its place, to be lit from dusk to dawn: "52.52,13.405"', "<lat,lon>", ""],
  ["steps", 'or when it is lit, in UTC: "16:30=100 23:00=40 06:30=0"', "<steps>", ""],
  ["payees", "sellers it may pay, addresses with spaces between; without them any", "<addresses>", ""],
  ["user", "account for the installer", "<name>", "installer"],
  ["ssh-key", "public key that may log in, or its file; without it no login is possible", "<key>", ""],
  ["wifi-ssid", "Wi-Fi network; without it the cable", "<ssid>", ""],
  ["wifi-password", "its password", "<password>", ""],
  ["wifi-country", "country whose radio rules hold: DE, US, ...", "<code>", ""],
];

export const FIELDS: readonly Field[] = rows.map(([name, about, shape, fallback]) => ({
  name,
  about,
  shape,
  fallback,
}));
