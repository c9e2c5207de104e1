import { createHmac } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type BoardBundle, bundleForBoard } from "#hardware/espruino/build/bundle";
import { faultLine } from "#hardware/espruino/build/lint";
import vectors from "../../../device/protocol/vectors.json";
import { runWithout } from "./es5.ts";
import { faults } from "./faults.ts";
import { Surroundings, type Traced } from "./fixtures.ts";
import { SETTINGS } from "./seller.ts";

const CORE = ["machine", "credit", "lamp", "policy", "rungs", "refusal", "register", "units"];
const PROTOCOL = ["topics", "frames", "tag", "shape", "messages"];
const ENTRIES = [...CORE.map((name) => `#core/${name}`), ...PROTOCOL.map((name) => `#protocol/${name}`)];

/** Words of a platform: the core reaches the world through its ports alone. */
const PLATFORM = /\b(require|process|setTimeout|setInterval|Promise|console)\b/;

let bundle: BoardBundle;
let call: ReturnType<typeof runWithout>;

beforeAll(async () => {
  bundle = await bundleForBoard(ENTRIES.map((entry) => `export * from "${entry}";`).join("\n"), "Device");
  call = runWithout(bundle.code);
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
    expect(bundle.files.size).toBeGreaterThanOrEqual(ENTRIES.length);
    for (const [file, es5] of bundle.files) {
      expect(file).toMatch(/^device\/(core|protocol)\//);
      expect(PLATFORM.exec(es5.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ""))).toBeNull();
    }
    expect([...bundle.files.keys()]).not.toContain("device/protocol/x402.ts");
  });

  it("hold nothing that it lacks or does wrong, file by file and bundled", () => {
    expect(bundle.faults.map(faultLine)).toEqual([]);
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
