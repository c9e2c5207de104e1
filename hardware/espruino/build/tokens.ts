/**
 * A program in the tokens of Espruino's own lexer: a keyword, operator or small number is one byte and little more,
 * a string needs no escapes.
 *
 * Promise: the interpreter (2v29) reads the same program; so the numbers of its tokens are part of its format
 * for stored code. Every character of the answer is one byte.
 */
import { type Token, tokenizer } from "acorn";

/** In the order of the firmware's list (src/jslex.h), which only grows at its end. */
const WORDS = [
  ...["==", "===", "!=", "!==", "<=", "<<", "<<=", ">=", ">>", ">>>", ">>=", ">>>=", "+=", "-=", "++", "--"],
  ...["*=", "/=", "%=", "&=", "&&", "|=", "||", "^=", "=>"],
  ...["if", "else", "do", "while", "for", "break", "continue", "function", "return", "var", "let", "const"],
  ...["this", "throw", "try", "catch", "finally", "true", "false", "null", "undefined", "new", "in"],
  ...["instanceof", "switch", "case", "default", "delete", "typeof", "void", "debugger", "class", "extends"],
  ...["super", "static", "of"],
];
const FIRST_WORD = 138;

/** The firmware reads its own token of it wrongly where a catch has no name. */
const NOT_A_TOKEN = new Set(["catch", "of", "static"]);

const STRING_8 = 0xd1;
const STRING_16 = 0xd2;
const INTEGER_0 = 0xd3;
const INTEGER_8 = 0xd4;
const INTEGER_16 = 0xd5;

/** Another operator, or a comment, where two of them stand side by side. */
const DOUBLED = /[-+/]/;

/** @param code minified, ASCII, no templates */
export function tokenised(code: string): string {
  let text = "";
  let before: Token | null = null;
  for (const token of tokenizer(code, { ecmaVersion: 2020 })) {
    const piece = pieceOf(token, code, before);
    const [last, first] = [text.slice(-1), piece.slice(0, 1)];
    const isOneWord = before !== null && isWord(before) && isWord(token) && isWordy(last) && isWordy(first);
    if (isOneWord || (last === first && DOUBLED.test(first))) text += " ";
    text += piece;
    before = token;
  }
  return text;
}

function pieceOf(token: Token, code: string, before: Token | null): string {
  const source = code.slice(token.start, token.end);
  const { label, keyword } = token.type;
  if (label === "string") return stringToken(textOf(token), source);
  if (label === "num") return numberToken(Number(textOf(token)), source);
  // A member may be called as a keyword is.
  const isMember = before !== null && before.type.label === ".";
  const word = WORDS.indexOf(source);
  if (word < 0 || NOT_A_TOKEN.has(source) || (isMember && keyword !== undefined)) return source;
  return String.fromCharCode(FIRST_WORD + word);
}

/** Given by acorn, and not by its types. */
function textOf(token: Token & { readonly value?: unknown }): string {
  return String(token.value);
}

function stringToken(value: string, source: string): string {
  const { length } = value;
  if (length === 0) return source;
  if (length < 0x100) return String.fromCharCode(STRING_8, length) + value;
  return String.fromCharCode(STRING_16, length & 0xff, length >> 8) + value;
}

function numberToken(value: number, source: string): string {
  if (value !== Math.floor(value) || value >= 0x8000) return source;
  if (value === 0) return String.fromCharCode(INTEGER_0);
  if (value < 10) return source;
  if (value < 0x80) return String.fromCharCode(INTEGER_8, value);
  return String.fromCharCode(INTEGER_16, value & 0xff, value >> 8);
}

/** A name, a keyword in letters or a number in digits. */
function isWord({ type }: Token): boolean {
  return type.label === "name" || type.label === "num" || type.keyword !== undefined;
}

function isWordy(letter: string): boolean {
  return /[A-Za-z0-9_$.]/.test(letter);
}
