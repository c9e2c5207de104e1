/**
 * Rows of a CSV file as inventories come: RFC 4180 quoting; comma, semicolon or tab by what the header uses.
 *
 * Promise: every row has the line it began on, and exactly as many fields as the header; else an error
 * with that line.
 */

export interface CsvRow {
  /** 1 is the header's. */
  readonly line: number;
  readonly fields: readonly string[];
}

export interface Csv {
  readonly header: readonly string[];
  readonly rows: readonly CsvRow[];
}

const SEPARATORS = [",", ";", "\t"];

/** @param file its name, for complaints */
export function readCsv(text: string, file: string): Csv {
  const [first = ""] = text.replace(/^\uFEFF/, "").split(/\r?\n/, 1);
  const separator = SEPARATORS.toSorted((a, b) => first.split(b).length - first.split(a).length)[0]!;
  const rows = [...rowsOf(text.replace(/^\uFEFF/, ""), separator, file)];
  const header = rows.shift();
  if (header === undefined || header.fields.length < 2) {
    throw new Error(
      `${file} line 1: expected a header of columns separated by comma, semicolon or tab, found "${first}"`,
    );
  }
  for (const { line, fields } of rows) {
    if (fields.length === header.fields.length) continue;
    throw new Error(
      `${file} line ${line}: expected ${header.fields.length} fields as in the header, found ${fields.length}`,
    );
  }
  return { header: header.fields.map((name) => name.trim()), rows };
}

/** Empty lines are left out. */
function* rowsOf(text: string, separator: string, file: string): Generator<CsvRow> {
  let fields: string[] = [];
  let begun = 1;
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const { field, next } = text[at] === '"' ? quoted(text, at, file, line) : plain(text, at, separator);
    for (let i = at; i < next; i++) if (text[i] === "\n") line++;
    fields.push(field);
    at = next;
    if (text[at] === separator) {
      at++;
      // A separator at the very end is followed by one more, empty field.
      if (at < text.length) continue;
      fields.push("");
    } else if (at < text.length && text[at] !== "\n" && text[at] !== "\r") {
      throw new Error(
        `${file} line ${line}: expected a separator after a closing quote, found "${text[at]}"`,
      );
    }
    if (fields.length > 1 || fields[0]!.trim() !== "") yield { line: begun, fields };
    fields = [];
    while (text[at] === "\r" || text[at] === "\n") if (text[at++] === "\n") line++;
    begun = line;
  }
}

function plain(text: string, start: number, separator: string): { field: string; next: number } {
  let next = start;
  while (next < text.length && text[next] !== separator && text[next] !== "\n" && text[next] !== "\r") next++;
  return { field: text.slice(start, next), next };
}

function quoted(text: string, start: number, file: string, line: number): { field: string; next: number } {
  let field = "";
  for (let at = start + 1; ; ) {
    const end = text.indexOf('"', at);
    if (end < 0) throw new Error(`${file} line ${line}: expected a closing quote, found the end of the file`);
    field += text.slice(at, end);
    if (text[end + 1] !== '"') return { field, next: end + 1 };
    field += '"';
    at = end + 2;
  }
}
