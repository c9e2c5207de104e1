/**
 * Many lights from one CSV file, as spreadsheets write it.
 *
 * Promise: every line is checked before anything is written, and every fault is named by line and column.
 */

import { parse } from "csv-parse/sync";
import { cut, faultText, shown } from "#node/config/shown";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { type Fault, FIELD_NAMES, type FieldName, type Fields } from "./fields.ts";

export interface Row {
  /** Line of the file, the header being 1. */
  readonly line: number;
  readonly fields: Fields;
  /** Where a field is: "column 3", or the header that is missing. */
  location(field: Fault["field"]): string;
}

/** One directory each, and a package in each. */
const LIGHTS_MAX = 1000;

/** A setting of device.toml as a column: its key path. */
const SETTING = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/;

/** A thousand lights with every column that there is are a tenth of it. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const LINE_BYTES_MAX = 16 * 1024;
const COLUMNS_MAX = 100;

/**
 * @param shared what holds for every light that says nothing else
 * @throws one line for each fault of the file's form
 */
export function readLights(file: string, shared: Fields): Row[] {
  const records = recordsOf(file);
  const [header, ...lines] = records;
  if (header === undefined || lines.length === 0) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected a line of column names and one for each light, found ${records.length} lines`,
    );
  }
  if (lines.length > LIGHTS_MAX) {
    throw new Watt402Error("file-invalid", `${file}: expected at most ${LIGHTS_MAX} lights, found more`);
  }
  if (header.cells.length > COLUMNS_MAX) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: line 1: expected at most ${COLUMNS_MAX} columns, found ${header.cells.length}`,
    );
  }
  const columns = header.cells.map((cell) => cell.trim().toLowerCase());
  const faults = headerFaults(file, columns);
  for (const { line, cells } of lines) {
    if (cells.length === columns.length) continue;
    faults.push(`${file}: line ${line}: expected ${columns.length} columns, found ${cells.length}`);
  }
  if (faults.length > 0) throw new Watt402Error("file-invalid", faultText(faults));
  return lines.map(({ line, cells }) => rowOf(line, columns, cells, shared));
}

function rowOf(line: number, columns: readonly string[], cells: readonly string[], shared: Fields): Row {
  const given = columns
    .map((column, index) => [column, cells[index]!] as const)
    .filter(([, cell]) => cell !== "");
  const values = Object.fromEntries(given.filter(([column]) => isField(column)));
  const set = Object.fromEntries(given.filter(([column]) => !isField(column)));
  return {
    line,
    fields: { values: { ...shared.values, ...values }, set: { ...shared.set, ...set } },
    location: (field) => {
      const index = columns.indexOf(field);
      return index < 0 ? field : `column ${index + 1} (${field})`;
    },
  };
}

interface Line {
  readonly line: number;
  readonly cells: readonly string[];
}

function recordsOf(file: string): Line[] {
  const text = readText(file, file, FILE_BYTES_MAX);
  // Spreadsheets of countries with a decimal comma part the columns by semicolons.
  const [first = ""] = text.split("\n", 1);
  const delimiter = first.includes(";") && !first.includes(",") ? ";" : ",";
  const options = {
    // One line more than are taken shows that there are too many.
    to: LIGHTS_MAX + 2,
    max_record_size: LINE_BYTES_MAX,
    delimiter,
    relax_column_count: true,
    skip_empty_lines: true,
    info: true,
    trim: true,
  };
  try {
    const records = parse(text, options) as unknown as { info: { lines: number }; record: string[] }[];
    return records.map(({ info, record }) => ({ line: info.lines, cells: record }));
  } catch (error) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected CSV, found: ${cut((error as Error).message, 120)}`,
    );
  }
}

function headerFaults(file: string, columns: readonly string[]): string[] {
  return columns.flatMap((column, index) => {
    const location = `${file}: line 1, column ${index + 1}`;
    if (columns.indexOf(column) < index)
      return [`${location}: expected each column once, found ${shown(column)} again`];
    if (isField(column) || SETTING.test(column)) return [];
    return [
      `${location}: expected one of ${FIELD_NAMES.join(", ")}, or a key of device.toml; found ${shown(column)}`,
    ];
  });
}

function isField(column: string): column is FieldName {
  return (FIELD_NAMES as readonly string[]).includes(column);
}
