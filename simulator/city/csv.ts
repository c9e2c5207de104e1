/**
 * Rows of a CSV file as inventories come: RFC 4180 quoting; comma, semicolon or tab by what the header uses.
 *
 * Promise: every row has the line it began on, and exactly as many fields as the header; else an error
 * with that line. Line ends of any kind are line feeds in what is returned.
 */

import { CsvError, parse } from "csv-parse/sync";
import { cut, shown } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";

interface CsvRow {
  /** 1 is the header's. */
  readonly line: number;
  readonly fields: readonly string[];
}

interface Csv {
  readonly header: readonly string[];
  readonly rows: readonly CsvRow[];
}

const SEPARATORS = [",", ";", "\t"];

/** Longest line read, bytes: an unclosed quote or a row without end is no inventory. */
const LINE_BYTES_MAX = 64 * 1024;

/** @param file its name, for complaints */
export function readCsv(text: string, file: string): Csv {
  // The library counts a line end of two characters within quotes as two lines.
  const plain = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const [first = ""] = plain.split("\n", 1);
  const separator = SEPARATORS.toSorted((a, b) => first.split(b).length - first.split(a).length)[0]!;
  const rows = rowsOf(plain, separator, file);
  const header = rows.shift();
  if (header === undefined || header.fields.length < 2) {
    throw new Watt402Error(
      "file-invalid",
      `${file} line 1: expected a header of columns separated by comma, semicolon or tab, found ${shown(first)}`,
    );
  }
  for (const { line, fields } of rows) {
    if (fields.length === header.fields.length) continue;
    throw new Watt402Error(
      "file-invalid",
      `${file} line ${line}: expected ${header.fields.length} fields as in the header, found ${fields.length}`,
    );
  }
  return { header: header.fields.map((name) => name.trim()), rows };
}

interface Parsed {
  readonly info: { readonly lines: number };
  readonly record: readonly string[];
}

/** Empty lines are left out. */
function rowsOf(text: string, delimiter: string, file: string): CsvRow[] {
  try {
    const options = { delimiter, info: true, relax_column_count: true, relax_quotes: true } as const;
    const bounds = { max_record_size: LINE_BYTES_MAX };
    const parsed = parse(text, {
      ...options,
      ...bounds,
      record_delimiter: "\n",
    }) as unknown as readonly Parsed[];
    return parsed
      .filter(({ record }) => record.length > 1 || record[0]!.trim() !== "")
      .map(({ info, record }) => ({ line: info.lines - breaksIn(record), fields: record }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    if (error.code === "CSV_MAX_RECORD_SIZE") {
      throw new Watt402Error(
        "file-invalid",
        `${file} line ${error.lines}: expected a row of at most ${LINE_BYTES_MAX} bytes, found a longer one; is a quote left open?`,
      );
    }
    if (error.code !== "CSV_QUOTE_NOT_CLOSED") {
      throw new Watt402Error(
        "file-invalid",
        `${file} line ${error.lines}: expected CSV, found: ${cut(error.message, 120)}`,
      );
    }
    throw new Watt402Error(
      "file-invalid",
      `${file} line ${error.lines}: expected a closing quote, found the end of the file`,
    );
  }
}

/** A row is counted where it ends; its quoted line breaks lead back to where it began. */
function breaksIn(record: readonly string[]): number {
  return record.reduce((breaks, field) => breaks + field.split("\n").length - 1, 0);
}
