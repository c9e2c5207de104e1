// What a board keeps of a program, read back as the firmware's lexer reads it.

import { tokenizer } from "acorn";
import fc from "fast-check";
import { expect, test } from "vitest";
import { lightProgram } from "../../../hardware/espruino/build/program.ts";
import { tokenised } from "../../../hardware/espruino/build/tokens.ts";

/** From 138 on, as the firmware (2v29) counts them. */
const WORDS =
  "== === != !== <= << <<= >= >> >>> >>= >>>= += -= ++ -- *= /= %= &= && |= || ^= => if else do while for break " +
  "continue function return var let const this throw try catch finally true false null undefined new in instanceof " +
  "switch case default delete typeof void debugger class extends super static of";
const WORD_OF = new Map(WORDS.split(" ").map((word, index) => [138 + index, word]));

/** The program in letters again. */
function lettersOf(image: string): string {
  let text = "";
  for (let at = 0; at < image.length; ) {
    const code = image.charCodeAt(at);
    const next = (index: number) => image.charCodeAt(at + index);
    at += 1;
    if (code === 0xd1 || code === 0xd2) {
      const head = code - 0xd0;
      const length = code === 0xd1 ? next(0) : next(0) + 256 * next(1);
      text += JSON.stringify(image.slice(at + head, at + head + length));
      at += head + length;
    } else if (code >= 0xd3 && code <= 0xd5) {
      const bytes = code - 0xd3;
      text += ` ${bytes === 0 ? 0 : bytes === 1 ? next(0) : next(0) + 256 * next(1)} `;
      at += bytes;
    } else text += code < 138 ? image[at - 1] : ` ${WORD_OF.get(code)} `;
  }
  return text;
}

function tokensOf(code: string): string[] {
  const seen: string[] = [];
  for (const token of tokenizer(code, { ecmaVersion: 2020 })) {
    const { value } = token as { readonly value?: unknown };
    seen.push(`${token.type.label} ${value instanceof RegExp ? value.source : JSON.stringify(value)}`);
  }
  return seen;
}

test("a light's program is the same in the firmware's tokens, and a fifth shorter", async () => {
  const { code, image, faults } = await lightProgram("ina226", "pwm");
  expect(faults).toEqual([]);
  expect(tokensOf(lettersOf(image))).toEqual(tokensOf(code));
  expect(image.length).toBeLessThan(0.82 * code.length);
  expect([...image].every((letter) => letter.charCodeAt(0) < 256)).toBe(true);
}, 60_000);

test("numbers, texts and members of any kind keep their meaning", () => {
  const number = fc.oneof(fc.nat(40_000), fc.double({ min: 0, max: 1e9, noNaN: true }));
  const letters = fc.string({
    unit: fc.integer({ min: 0, max: 126 }).map((code) => String.fromCharCode(code)),
  });
  const text = fc
    .oneof(
      letters,
      fc.nat(600).map((length) => "x".repeat(length)),
    )
    .map((one) => JSON.stringify(one));
  const member = fc.constantFrom(
    "a.of",
    "a.catch(b)",
    "a.in",
    "x instanceof y",
    "typeof a",
    "a+ +b",
    "a- -b",
    "a+ ++b",
    "a/ /b/",
    "a in b",
  );
  const one = fc.oneof(number.map(String), text, member);
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), (parts) => {
      const code = `var q=[${parts.join(",")}];for(var i of q)if(!i)try{throw 0}catch{}`;
      expect(tokensOf(lettersOf(tokenised(code)))).toEqual(tokensOf(code));
    }),
    { numRuns: 300 },
  );
});
