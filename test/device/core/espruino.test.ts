import { createHmac } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import vectors from "../../../device/protocol/vectors.json";
import { bundleForEspruino, lintForEspruino, runWithout, toEs5 } from "./es5.ts";
import { faults } from "./faults.ts";
import { SETTINGS } from "./seller.ts";
import { Surroundings, type Traced } from "./surroundings.ts";

const CORE = ["machine", "credit", "lamp", "policy", "purchase", "refusal", "register", "units"];
const PROTOCOL = ["topics", "frames", "tag", "shape", "messages"];
const ENTRIES = [...CORE.map((name) => `core/${name}.ts`), ...PROTOCOL.map((name) => `protocol/${name}.ts`)];

const files = new Map<string, string>();
let bundle = "";
let call: ReturnType<typeof runWithout>;

beforeAll(async () => {
  bundle = await bundleForEspruino(ENTRIES, (file, es5) => files.set(file, es5));
  call = runWithout(bundle);
});

/** Puts a trace's events to the ES5 machine, booting where the trace does; returns its effects. */
const REPLAY = `function (settings, trace) {
  var state = null;
  var said = [];
  trace.forEach(function (entry) {
    if (entry.event === undefined) {
      state = Device.bootMachine(settings, entry.boot);
      return;
    }
    var step = Device.stepMachine(state, entry.event);
    state = step.state;
    said.push(step.effects);
  });
  return said;
}`;

function effectsOf(trace: readonly Traced[]): unknown {
  return JSON.parse(JSON.stringify(trace.flatMap((entry) => ("effects" in entry ? [entry.effects] : []))));
}

function replayed(trace: readonly Traced[]): unknown {
  const heard = trace.map((entry) => ("boot" in entry ? entry : { event: entry.event }));
  return call(REPLAY, SETTINGS, heard);
}

describe("the device's files on Espruino", () => {
  it("reach no platform: nothing but device/core and device/protocol is bundled", () => {
    expect(files.size).toBeGreaterThanOrEqual(ENTRIES.length);
    for (const file of files.keys()) expect(file).toMatch(/^(core|protocol)\//);
    expect([...files.keys()]).not.toContain("protocol/x402.ts");
  });

  it("hold nothing that it lacks or does wrong, file by file and bundled", () => {
    for (const [file, es5] of files)
      expect({ file, faults: lintForEspruino(es5) }).toEqual({ file, faults: [] });
    // The bundler's own preamble makes getters with Object.defineProperty, which Espruino has.
    expect(lintForEspruino(bundle)).toEqual([]);
  });

  it("do what the originals do, event by event, among any faults", () => {
    fc.assert(
      fc.property(faults, (actions) => {
        const world = new Surroundings();
        world.setLink(true);
        world.run(1_000);
        for (const act of actions) {
          if (world.trace.length < 2_000) act(world);
        }
        const trace = world.trace.slice(0, 2_000);
        expect(replayed(trace)).toEqual(effectsOf(trace));
      }),
      { numRuns: 40 },
    );
  });

  it("read and write the golden frames and messages", () => {
    const hexOf = `function hex(bytes) {
      var text = "0x";
      for (var i = 0; i < bytes.length; i++) text += ("0" + bytes[i].toString(16)).slice(-2);
      return text;
    }`;
    const bytesOf = `function bytes(text) {
      var found = new Uint8Array((text.length - 2) / 2);
      for (var i = 0; i < found.length; i++) found[i] = parseInt(text.substr(2 + 2 * i, 2), 16);
      return found;
    }`;
    for (const { frame, sealed, ...pay } of vectors.pay) {
      const encode = `function (pay) {
        ${hexOf} ${bytesOf}
        pay.signature = bytes(pay.signature);
        return hex(Device.encodePay(pay));
      }`;
      expect(call(encode, pay)).toBe(frame);
    }
    for (const { frame, sealed, ...grant } of vectors.grant) {
      const decode = `function (sealed) { ${bytesOf} return Device.decodeGrant(bytes(sealed)); }`;
      expect(call(decode, sealed)).toEqual({ frame: grant, error: null });
      const encode = `function (grant) { ${hexOf} return hex(Device.encodeGrant(grant)); }`;
      expect(call(encode, grant)).toBe(frame);
    }
    for (const { leaf, message, sealed } of vectors.json) {
      const mac = createHmac("sha256", Buffer.from(vectors.tagKey.slice(2), "hex"));
      const tagged = mac
        .update(`${leaf}\0`)
        .update(sealed.slice(0, sealed.lastIndexOf(',"tag":')))
        .digest("hex");
      const round = `function (leaf, name, sealed, tag, message) {
        ${bytesOf}
        var tagger = { key: bytes("0x00"), hmac: function () { return bytes(tag); } };
        var received = new Uint8Array(sealed.length);
        for (var i = 0; i < sealed.length; i++) received[i] = sealed.charCodeAt(i);
        var made = Device.sealJson(tagger, leaf, message);
        var same = made.length === received.length;
        for (var j = 0; j < made.length; j++) same = same && made[j] === received[j];
        return { same: same, read: Device[name](Device.openJson(tagger, leaf, received)) };
      }`;
      const reader = `read${leaf.charAt(0).toUpperCase()}${leaf.slice(1)}`;
      expect(call(round, leaf, reader, sealed, `0x${tagged}`, message)).toEqual({
        same: true,
        read: { message, error: null },
      });
    }
    for (const { leaf, topic } of vectors.topics) {
      const device = vectors.device.address.slice(2);
      expect(call("Device.readTopic", topic)).toEqual({ device, leaf });
      expect(call("Device.topicOf", device, leaf)).toBe(topic);
    }
  });

  it("run where what a board lacks is really gone", () => {
    const missing = ["BigInt", "Map", "Set", "WeakMap", "Symbol", "Proxy", "Promise", "Buffer", "process"];
    const members = ["Number.isInteger", "Math.trunc", "Math.imul", "Array.from", "Object.freeze", "[].flat"];
    for (const name of missing) expect(call(`function () { return typeof ${name}; }`)).toBe("undefined");
    for (const name of members) expect(call(`function () { return typeof ${name}; }`)).toBe("undefined");
  });
});

describe("the lint for Espruino", () => {
  it.each([
    ["var { a } = b;"],
    ["var [a] = b;"],
    ["function f(a = 1) { return a; }"],
    ["function f(...a) { return a; }"],
    ["f(...a);"],
    ["function* f() { yield 1; }"],
    ["async function f() { await 1; }"],
    ["a: for (;;) break a;"],
    ["f`x`;"],
    ["a?.b;"],
    ["a ** b;"],
    ["a ??= b;"],
    ["a ||= b;"],
    ["var a = { [b]: 1 };"],
    ["class A extends B {}"],
    ["class A { #b = 1; }"],
    ["class A { b; }"],
    ["function A() { return new.target; }"],
    ["let a = 1;"],
    ["var a = function () { return () => 1; };"],
    ["1n;"],
    ["/a{2}/;"],
    ["/(?:a)/;"],
    ["/ab?/;"],
    ["/(ab)+/;"],
    ["Math.imul(1, 2);"],
    ["Math.trunc(1);"],
    ["Array.from(a);"],
    ["Array.prototype.slice.call(a);"],
    ["Number.isInteger(1);"],
    ["Number.MAX_SAFE_INTEGER;"],
    ["Uint8Array.BYTES_PER_ELEMENT;"],
    ["a.buffer.slice(1);"],
    ["a.at(-1);"],
    ["a.flat();"],
    ["a.length = 0;"],
    ["Object.freeze(a);"],
    ["new Map();"],
    ["new Set();"],
    ["Symbol.iterator;"],
    ["new Proxy(a, b);"],
    ["BigInt(1);"],
    ["Buffer.alloc(1);"],
    ["new TextEncoder();"],
    ["queueMicrotask(a);"],
    ["process.nextTick(a);"],
    ["new Promise(a);"],
    ["switch (a) { default: b(); case 1: c(); }"],
    ["for (var a in b) { delete b[a]; }"],
    ["f(); function f() {}"],
    ["if (a) { var b = 1; } c(b);"],
    ["c(b); var b = 1;"],
    ["(function () { if (a) { var b = 1; } return b; })();"],
    ["var __extends = 1;"],
    ["__spreadArray([], a, true);"],
  ])("finds the fault in %s", (sample) => {
    expect(lintForEspruino(sample)).not.toEqual([]);
  });

  it.each([
    ["function f() { return g(); } function g() { return 1; } f();"],
    ["for (var i = 0; i < 2; i++) a(i); for (var i = 0; i < 3; i++) b(i);"],
    ["switch (a) { case 1: b(); break; default: c(); }"],
    ["var a = { at: 1 }; a.at; /[a-z]+|^b$/; a.length;"],
  ])("lets %s pass", (sample) => {
    expect(lintForEspruino(sample)).toEqual([]);
  });

  it("sees through the compiler: spread arrays and inheritance leave their mark", () => {
    expect(lintForEspruino(toEs5("const a = [...b, 1];"))).not.toEqual([]);
    expect(lintForEspruino(toEs5("class A extends B {}"))).not.toEqual([]);
    expect(lintForEspruino(toEs5("const a = { ...b, c: 1 };"))).toEqual([]);
  });
});
