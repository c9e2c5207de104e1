// The matrix as text: a tick or the number of a note in each cell, and below it the notes with the refusals.

import type { MatrixReport } from "./matrix.ts";

export function tableText({ buyer, seller, cells }: MatrixReport): string {
  const refusals = [...new Set(cells.flatMap(({ refusal }) => refusal || []))];
  const columns = [...new Set(cells.map(columnOf))];
  const routes = [...new Set(cells.map(({ route }) => route))];
  const mark = (route: string, column: string) => {
    const cell = cells.find((one) => one.route === route && columnOf(one) === column);
    if (cell === undefined) return "";
    return cell.passed ? "✓" : `(${refusals.indexOf(cell.refusal) + 1})`;
  };
  const rows = [
    ["route", ...columns],
    ...routes.map((route) => [route, ...columns.map((column) => mark(route, column))]),
  ];
  const widths = rows[0]!.map((_, index) => Math.max(...rows.map((row) => row[index]!.length)));
  const lines = rows.map((row) =>
    row
      .map((text, index) => text.padEnd(widths[index]!))
      .join("  ")
      .trimEnd(),
  );
  return [
    ...lines,
    "",
    `our seller: ${seller.passed} of ${seller.routes} routes; our gateway and light: ${buyer.passed} of ${buyer.routes}`,
    ...refusals.map((refusal, index) => `(${index + 1}) ${refusal}`),
  ].join("\n");
}

/** Who is ours is named by its part, the other by its package. */
function columnOf({ side, against }: MatrixReport["cells"][number]): string {
  return side === "seller" ? `${against} -> ours` : `ours -> ${against}`;
}
