import { readFileSync } from "node:fs";
import { parse, stringify } from "smol-toml";
import { describe, expect, it } from "vitest";
import { loadConfig, readConfig } from "#node/config/device-config";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { TOKEN_ALONE } from "#payment/offer/offer";
import { PERMIT2_ADDRESS } from "#payment/permit2/permit";

const SAMPLE = readFileSync(new URL("../../../hardware/pi/device.sample.toml", import.meta.url), "utf8");

/** The sample with one key set to something else; undefined removes it. */
function changed(path: string, value: unknown): string {
  const config = parse(SAMPLE) as Record<string, unknown>;
  const keys = path.split(".");
  let table = config;
  for (const key of keys.slice(0, -1)) table = table[key] as Record<string, unknown>;
  if (value === undefined) delete table[keys.at(-1)!];
  else table[keys.at(-1)!] = value;
  return stringify(config);
}

/** The sample's own token, as a further one. */
function sampleToken(): Record<string, unknown> {
  const { policy } = parse(SAMPLE) as { policy: Record<string, unknown> };
  const { unpaid: _, unpaid_level_percent: __, ...token } = policy;
  return token;
}

describe("a configuration", () => {
  it("is read from the sample, every unit in its place", () => {
    const config = readConfig(SAMPLE, "sample.toml");
    expect(config.gateway).toMatchObject({ brokerUrl: "mqtts://gateway.example:8883", protocolVersion: 4 });
    expect(config.settings).toMatchObject({ ratedMilliwatts: 60_000, tickMs: 60_000, lowMarkPermille: 700 });
    expect(config.settings.policy).toMatchObject({
      schemes: ["batch-settlement"],
      contracts: [BATCH_SETTLEMENT_ADDRESS],
      priceCeiling: 400_000,
      dailyBudgetAtomic: 500_000,
      unpaid: { kind: "off" },
    });
    expect(config.plan).toMatchObject({ sun: { latitude: 52.52, nightPercent: 100 } });
    expect(config.meterDriver).toBeNull();
  });

  it("allows the token's own contract only where exact is allowed", () => {
    const { policy } = readConfig(changed("policy.schemes", ["exact"]), "c.toml").settings;
    expect(policy.contracts).toEqual([policy.asset]);
  });

  it("gives each token that it names a policy of its own, and one alone no list of them", () => {
    expect(readConfig(SAMPLE, "c.toml").settings.policies).toBeUndefined();
    // The sample's own second token, which it shows behind comment signs.
    const shown = SAMPLE.replace(/^# (?=\[\[policy\.tokens\]\]$)(.*?)\n\n/ms, (block) =>
      block.replaceAll(/^# /gm, ""),
    );
    const { settings, walletRules } = readConfig(shown, "c.toml");
    const [first, second] = settings.policies!;
    expect(settings.policies).toHaveLength(2);
    expect(settings.policy).toBe(first);
    expect(second).toEqual({ ...first, network: "eip155:421614", asset: expect.stringMatching(/^0x75fa/) });
    expect([walletRules(first!), walletRules(second!)]).toEqual([TOKEN_ALONE, TOKEN_ALONE]);
  });

  it("holds what a token may be moved by against that token alone", () => {
    const token = {
      network: "eip155:1",
      asset: `0x${"Ab".repeat(20)}`,
      payees: [],
      price_ceiling_per_million_units: 7,
      quantum_max_atomic: 5,
      daily_budget_atomic: 50,
      schemes: ["exact"],
      transfer_methods: ["permit2"],
      permit2: { validity_max_seconds: 60 },
      verifying_contracts: [`0x${"Cd".repeat(20)}`],
    };
    const { settings, walletRules } = readConfig(changed("policy.tokens", [token]), "c.toml");
    const [first, second] = settings.policies!;
    expect(second).toMatchObject({ asset: token.asset.toLowerCase(), dailyBudgetAtomic: 50 });
    expect(second!.contracts).toEqual([PERMIT2_ADDRESS]);
    expect(walletRules(second!)).toMatchObject({
      permit2: { validityMaxSeconds: 60 },
      verifierSecondsMax: 691_200,
    });
    expect(walletRules(first!)).toEqual(TOKEN_ALONE);
    const both = { ...token, transfer_methods: ["eip3009"] };
    const { policies } = readConfig(changed("policy.tokens", [both]), "c.toml").settings;
    expect(policies![1]!.contracts).toEqual([token.asset.toLowerCase(), `0x${"cd".repeat(20)}`]);
  });

  it.each([
    [
      "a token twice",
      () => [sampleToken()],
      "c.toml: policy.tokens.0.asset: expected each token once, with all that it may be spent on",
    ],
    [
      "more tokens than fit a hello",
      () => Array.from({ length: 7 }, (_, n) => ({ ...sampleToken(), network: `eip155:${n + 1}` })),
      "c.toml: policy.tokens: expected a list of at most 6",
    ],
    [
      "a token without a budget",
      () => [{ ...sampleToken(), daily_budget_atomic: undefined }],
      "found nothing",
    ],
    [
      "a list in it",
      () => [{ ...sampleToken(), tokens: [] }],
      "policy.tokens.0.tokens: expected no such key",
    ],
  ])("refuses %s by its place", (_, tokens, reported) => {
    expect(() => readConfig(changed("policy.tokens", tokens()), "c.toml")).toThrow(reported);
  });

  it("sorts steps by their time of day", () => {
    const steps = [
      { at: "22:30", level_percent: 40 },
      { at: "06:05", level_percent: 0 },
    ];
    expect(readConfig(changed("plan", { steps }), "c.toml").plan).toEqual({
      steps: [
        { minuteOfDay: 365, levelPercent: 0 },
        { minuteOfDay: 1350, levelPercent: 40 },
      ],
    });
  });

  it.each([
    ["device.key_file", undefined, "expected a string of 1..1024 plain characters, found nothing"],
    [
      "gateway.broker",
      "http://x",
      'expected mqtt(s)://host:port or ws(s)://host:port/path, found "http://x"',
    ],
    [
      "gateway.public_key",
      "0x04",
      'expected a compressed public key, 0x02 or 0x03 and 64 hex digits, found "0x04"',
    ],
    ["gateway.mqtt", 5, 'expected one of "3.1.1", "5", found 5'],
    ["policy.payees", undefined, "expected a list of at least 0, found nothing"],
    ["policy.schemes", [], "expected a list of at least 1, found []"],
    ["policy.daily_budget_atomic", -1, "expected an integer in 1..281474976710655, found -1"],
    ["policy.daily_budget_atomic", 1.5, "expected an integer in 1..281474976710655, found 1.5"],
    ["policy.quantum_max_atomic", 9_007_199_255, "expected an integer in 1..9007199254, found 9007199255"],
    ["policy.unpaid", "dark", 'expected one of "off", "dim", "on", found "dark"'],
    ["plan.sun.latitude", 91, "expected a number in -90..90, found 91"],
    ["plan", {}, "expected either steps or a sun table, found {}"],
    ["lamp", 3, "expected a table, found 3"],
    ["gateway.tls", { cert_file: "c" }, 'expected cert_file and key_file together, found {"cert_file":"c"}'],
    ["policy.daily_budjet_atomic", 1, "expected no such key; check its spelling"],
  ])("refuses %s = %j, naming file, key, expected and found", (path, value, reported) => {
    expect(() => readConfig(changed(path, value), "c.toml")).toThrow(`c.toml: ${path}: ${reported}`);
  });

  it("logs in by the device's key, or by the password that it names", () => {
    expect(readConfig(SAMPLE, "c.toml").gateway.login).toBeNull();
    const { login } = readConfig(changed("gateway.password_file", "/p"), "c.toml").gateway;
    expect(login).toEqual({ username: null, passwordFile: "/p" });
    expect(() => readConfig(changed("gateway.username", "pole-7"), "c.toml")).toThrow(
      "c.toml: gateway.password_file: expected a file beside username, found nothing",
    );
    expect(() => readConfig(changed("gateway.login", "certificate"), "c.toml")).toThrow(
      'c.toml: gateway.tls.cert_file: expected a file beside login = "certificate", found nothing',
    );
    const tls = { cert_file: "/c", key_file: "/k" };
    const alone = changed("gateway.tls", tls).replace("[gateway]", '[gateway]\nlogin = "certificate"');
    expect(readConfig(alone, "c.toml").gateway.login).toBe("certificate");
    expect(() => readConfig(alone.replace("\nlogin", '\npassword_file = "/p"\nlogin'), "c.toml")).toThrow(
      'c.toml: gateway.login: expected "key" beside password_file, found "certificate"',
    );
  });

  it("reports every fault at once", () => {
    const toml = changed("policy.unpaid", "dark").replace("tick_ms = 60000", "tick_ms = 0");
    expect(() => readConfig(toml, "c.toml")).toThrow(/policy\.unpaid.*\n.*timing\.tick_ms/);
  });

  it("reports where TOML itself is broken, and which file is missing", () => {
    expect(() => readConfig("[device\n", "c.toml")).toThrow(
      /^c\.toml: line 1, column \d+: expected TOML, found/,
    );
    expect(() => loadConfig("/nowhere/device.toml")).toThrow(
      "/nowhere/device.toml: expected a readable file, found ENOENT",
    );
  });
});
