"use strict";
const byId = (id) => document.getElementById(id);

// Filters: a data cell is shown if it fits data set and ratio, a per-class table if it fits the metric.
function applyFilters() {
  const dataset = byId("filter-dataset").value;
  const ratio = byId("filter-ratio").value;
  const metric = byId("filter-metric").value;
  let shown = 0;
  const cells = document.querySelectorAll("section.cell");
  for (const cell of cells) {
    cell.hidden = (dataset !== "" && cell.dataset.dataset !== dataset) || (ratio !== "" && cell.dataset.ratio !== ratio);
    shown += cell.hidden ? 0 : 1;
  }
  for (const table of document.querySelectorAll("figure.table[data-metric]")) {
    table.hidden = metric !== "" && table.dataset.metric !== metric;
  }
  byId("shown").textContent = `${shown} of ${cells.length} data cells shown`;
}
for (const id of ["filter-dataset", "filter-ratio", "filter-metric"]) {
  byId(id).addEventListener("change", applyFilters);
}
applyFilters();

// Sorting: by the first number of a cell if there is one, else by its text; what is missing goes last.
// Rows below a rule (groups, floors) keep their place.
function sortKey(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = /^[+-]?[\d,]*\.?\d+/.exec(text);
  return { text, missing: text === "" || text === "—", number: number ? parseFloat(number[0].replaceAll(",", "")) : NaN };
}
function compare(a, b, sign) {
  if (a.missing || b.missing) return a.missing - b.missing;
  if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
  return sign * a.text.localeCompare(b.text, undefined, { numeric: true });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => ({ row, key: sortKey(row, column) }));
      rows.sort((a, b) => compare(a.key, b.key, sign));
      body.append(...rows.map((entry) => entry.row));
    });
  });
}

for (const picker of document.querySelectorAll("select.pick-class")) {
  picker.addEventListener("change", () => {
    for (const strip of picker.closest(".samples").querySelectorAll(".class-samples")) {
      strip.hidden = picker.value !== "" && strip.dataset.class !== picker.value;
    }
  });
}
