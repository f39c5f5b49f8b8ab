// Answers as files.

import { csvField, save } from "../copy.js";
import { exact } from "../format.js";

/** The series of a graph. @param {{labels: Record<string, string>, cells: [number, number][]}[]} series @param {"csv" | "json"} format */
export function saveGraph(series, format) {
  if (format === "json") {
    const result = series.map((one) => ({ metric: one.labels, values: one.cells.map(([t, v]) => [t, exact(v)]) }));
    save("query.json", "application/json", [JSON.stringify({ status: "success", data: { resultType: "matrix", result } })]);
    return;
  }
  const names = [...new Set(series.flatMap((one) => Object.keys(one.labels)))].sort();
  const lines = [[...names, "time", "value"].map((name) => csvField(name)).join(",")];
  for (const one of series) {
    const labels = names.map((name) => csvField(one.labels[name] ?? "")).join(",");
    for (const [t, v] of one.cells) lines.push(`${labels}${names.length ? "," : ""}${new Date(t * 1000).toISOString()},${exact(v)}`);
  }
  save("query.csv", "text/csv", [lines.join("\n") + "\n"]);
}

/** The rows of a table. @param {import("./table_tab.js").Row[]} rows @param {"csv" | "json"} format */
export function saveTable(rows, format) {
  if (format === "json") {
    save("query.json", "application/json", [JSON.stringify(rows.map((row) => ({ metric: row.metric, time: row.at, value: row.histogram ?? row.text })), null, 1)]);
    return;
  }
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.metric)))].sort();
  const lines = rows.map((row) => [...names.map((name) => row.metric[name] ?? ""), row.text].map(csvField).join(","));
  save("query.csv", "text/csv", [[...names, "value"].map(csvField).join(",") + "\n", lines.join("\n"), "\n"]);
}
