// The league table: filters, sorting and intervals over LEAGUE. Text from bundles is only ever put in as text.
"use strict";
const $ = (id) => document.getElementById(id);
const chosen = { cell: null, metric: null, place: null, protocol: null };
let order = { key: "rank", up: true };

const COLUMNS = [
  ["label", "Method"], ["rank", "Rank"], ["mean", "Mean"], ["interval", "95 % interval"], ["floor", "Floor"],
  ["n", "Seeds"], ["status", "Worth"], ["bundle", "Bundle"], ["runs", "Specs"],
];

function element(name, text, attributes = {}) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function unique(rows, key) { return [...new Set(rows.map((row) => row[key]))]; }

function measure(row) { return row.title + (row.extractor ? ` (${row.extractor})` : ""); }

function protocolName(row) {
  const s = JSON.parse(row.settings);
  const parts = [s.sampler, s.guidance !== undefined ? `ω ${Number(s.guidance)}` : "", s.nfe ? `${Number(s.nfe)} NFE` : "",
    s.step ? `${Number(s.step)} steps` : "", `n ${Number(s.n_generated)}`];
  return parts.filter(Boolean).join(", ") + ` [${row.protocol}]`;
}

function fill(id, options, names) {
  const select = $(id);
  select.replaceChildren(...options.map((value, i) => element("option", names ? names[i] : value, { value })));
  if (!options.includes(chosen[id])) chosen[id] = options[0];
  select.value = chosen[id];
}

function rowsFor() {
  let rows = LEAGUE;
  fill("cell", unique(rows, "cell"));
  rows = rows.filter((r) => r.cell === chosen.cell);
  const metrics = unique(rows, "metric");
  fill("metric", metrics, metrics.map((m) => measure(rows.find((r) => r.metric === m))));
  rows = rows.filter((r) => r.metric === chosen.metric);
  fill("place", unique(rows, "place"));
  rows = rows.filter((r) => r.place === chosen.place);
  const sizes = new Map();
  for (const r of rows) sizes.set(r.protocol, (sizes.get(r.protocol) || 0) + 1);
  const protocols = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a));
  fill("protocol", protocols, protocols.map((p) => protocolName(rows.find((r) => r.protocol === p))));
  return rows.filter((r) => r.protocol === chosen.protocol);
}

function number(value, decimals) { return value === null ? "–" : value.toFixed(decimals); }

function floor(row) {
  const own = row.floor_n !== null && row.floor_n !== row.n_generated;  // read against another number of images
  return number(row.floor, row.decimals) + (own ? ` (n=${row.floor_n})` : "");
}

function interval(row, scale) {
  const SVG = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(SVG, "svg");
  const text = row.mean === null ? "not finite" : row.low === null ? `one seed, ${number(row.mean, row.decimals)}`
    : `${number(row.low, row.decimals)} to ${number(row.high, row.decimals)}`;
  for (const [key, value] of Object.entries({ width: 140, height: 16, role: "img", "aria-label": text })) svg.setAttribute(key, value);
  const add = (name, attributes) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    svg.append(node);
  };
  if (row.low !== null) add("line", { x1: scale(row.low), x2: scale(row.high), y1: 8, y2: 8, stroke: "var(--bar)", "stroke-width": 2 });
  if (row.mean !== null) add("circle", { cx: scale(row.mean), cy: 8, r: 4, fill: "var(--bar)" });
  const title = document.createElementNS(SVG, "title");
  title.textContent = text;
  svg.prepend(title);
  return svg;
}

function sorted(rows) {
  const value = (row) => order.key === "interval" ? row.mean : order.key === "runs" ? row.runs.length : row[order.key];
  const sign = order.up ? 1 : -1;
  return [...rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
  });
}

function draw() {
  const rows = rowsFor();
  const ends = rows.flatMap((r) => [r.low ?? r.mean, r.high ?? r.mean]).filter((v) => v !== null);
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const scale = (v) => 8 + 124 * (most > least ? (v - least) / (most - least) : 0.5);
  const head = element("tr");
  for (const [key, name] of COLUMNS) {
    const th = element("th", undefined, { scope: "col" });
    const button = element("button", name, { type: "button" });
    if (order.key === key) th.setAttribute("aria-sort", order.up ? "ascending" : "descending");
    button.addEventListener("click", () => { order = { key, up: order.key === key ? !order.up : true }; draw(); });
    th.append(button);
    head.append(th);
  }
  document.querySelector("#league thead").replaceChildren(head);
  const body = sorted(rows).map((row) => {
    const tr = element("tr");
    const range = row.rank_low === row.rank_high ? "" : ` (${row.rank_low} to ${row.rank_high})`;
    tr.append(element("td", row.label), element("td", row.rank === null ? "–" : `${row.rank}${range} of ${row.of}`), element("td", number(row.mean, row.decimals)));
    const cell = element("td");
    cell.append(interval(row, scale));
    tr.append(cell, element("td", floor(row)), element("td", String(row.n), { title: row.seeds }),
      element("td", row.status, { class: `worth-${row.status}` }), element("td", row.bundle));
    const links = element("td");
    row.runs.forEach(([run, file], i) => links.append(element("a", String(i + 1), { href: file, title: run }), " "));
    tr.append(links);
    return tr;
  });
  document.querySelector("#league tbody").replaceChildren(...body);
  $("about").textContent = `${rows.length} methods; ${rows[0].better} is better.`;
  const list = [];
  for (const [key, value] of Object.entries(JSON.parse(rows[0].settings))) {
    list.push(element("dt", key), element("dd", typeof value === "string" ? value : JSON.stringify(value)));
  }
  $("settings").replaceChildren(...list);
}

for (const id of Object.keys(chosen)) $(id).addEventListener("change", (event) => { chosen[id] = event.target.value; draw(); });
draw();
