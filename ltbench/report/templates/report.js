"use strict";
const byId = (id) => document.getElementById(id);
const all = (query, root = document) => [...root.querySelectorAll(query)];
// Figures by the names of their parts; what is empty is left out of the data.
const empty = { title: "", x_title: "", y_title: "", marks: [], categories: [], floor: [], row_names: [], row_methods: [], row_guidances: [], matrix_text: [], x: [], y: [], low: [], high: [], points: [], text: [], dash: [] };
const charts = JSON.parse(byId("charts").textContent, (_, part) => part && typeof part === "object" && !Array.isArray(part) ? { __proto__: empty, ...part } : part);
const state = { dataset: "", ratio: "", guidance: "", methods: new Set(all("#filter-methods input").map((e) => e.value)) };

// --- filters: one state for tables, figures and pictures ----------------------------------------------------
function hides(method, guidance) {
  return (method && !state.methods.has(method)) || (guidance && state.guidance !== "" && guidance !== state.guidance);
}
function applyFilters() {
  const cells = all("section.cell");
  let shown = 0;
  for (const cell of all("[data-dataset]")) {
    cell.hidden = (state.dataset !== "" && cell.dataset.dataset !== state.dataset) || (state.ratio !== "" && cell.dataset.ratio !== state.ratio);
  }
  for (const cell of cells) shown += cell.hidden ? 0 : 1;
  for (const item of all("tr[data-method], tr[data-guidance], td[data-method], th[data-method]")) {
    item.hidden = hides(item.dataset.method, item.dataset.guidance);
  }
  for (const figure of all("figure.chart")) figure.dirty = true;
  drawVisible();
  byId("shown").textContent = `${shown} of ${cells.length} data cells, ${state.methods.size} methods`;
}
for (const name of ["dataset", "ratio", "guidance"]) {
  byId(`filter-${name}`).addEventListener("change", (event) => { state[name] = event.target.value; applyFilters(); });
}
for (const box of all("#filter-methods input")) {
  box.addEventListener("change", () => { state.methods[box.checked ? "add" : "delete"](box.value); applyFilters(); });
}
byId("filters").addEventListener("submit", (event) => event.preventDefault());

// --- theme --------------------------------------------------------------------------------------------------
const store = { get: () => { try { return localStorage.getItem("ltbench-theme"); } catch { return null; } }, set: (v) => { try { localStorage.setItem("ltbench-theme", v); } catch { /* private window */ } } };
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
}
if (store.get()) setTheme(store.get());
byId("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(dark ? "light" : "dark");
  store.set(document.documentElement.dataset.theme);
});

// --- sorting: by a cell's first number if there is one, else by its text; what is missing goes last -----------
function sortKey(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = /^[+-]?[\d,]*\.?\d+(e[+-]?\d+)?/i.exec(text);
  return { text, missing: text === "" || text === "—" || text === "not finite", number: number ? parseFloat(number[0].replaceAll(",", "")) : NaN };
}
function compare(a, b, sign) {
  if (a.missing || b.missing) return a.missing - b.missing;
  if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
  return sign * a.text.localeCompare(b.text, undefined, { numeric: true });
}
for (const table of all("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    for (const body of table.tBodies) {  // blocks of one protocol stay apart, floors keep their place
      const rows = [...body.rows].filter((row) => !row.dataset.floor).map((row) => ({ row, key: sortKey(row, column) }));
      rows.sort((a, b) => compare(a.key, b.key, sign));
      const last = [...body.rows].filter((row) => row.dataset.floor);
      body.append(...rows.map((entry) => entry.row), ...last);
    }
  }));
}

// --- figures ------------------------------------------------------------------------------------------------
const SVG = "http://www.w3.org/2000/svg";
function el(name, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== "") node.textContent = text;
  return node;
}
function titled(text, width) { // a long one is set narrower, so that its end is not cut off
  const fits = text.length * 6.8 <= width - 8;
  return el("text", { x: 4, y: 13, class: "title", ...(fits ? {} : { textLength: width - 8, lengthAdjust: "spacingAndGlyphs" }) }, text);
}
const short = (v) => v === null ? "—" : Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(1) : String(Number(v.toPrecision(3)));
function ticks(low, high, log, most) {
  if (log) {
    const out = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (const m of high < 100 * low ? [1, 2, 5] : [1]) { const v = m * 10 ** e; if (v >= low * 0.999 && v <= high * 1.001) out.push(v); }
    }
    return out.length > most + 2 ? out.filter((_, i) => i % Math.ceil(out.length / most) === 0) : out;
  }
  const raw = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) || power;
  const out = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}
function axis(values, log, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  if (log) { low /= 1.12; high *= 1.12; } else { const pad = (high - low || Math.abs(high) || 1) * 0.06; low -= pad; high += pad; }
  const f = log ? Math.log10 : (v) => v;
  return { low, high, at: (v) => from + (f(v) - f(low)) / (f(high) - f(low)) * (to - from) };
}
function marker(shape, x, y, r, colour, open) {
  const paint = { stroke: colour, "stroke-width": 1.2, ...(open ? { class: "empty" } : { fill: colour }) };
  const turns = { "s": [4, 45], "D": [4, 0], "^": [3, -90], "v": [3, 90], "<": [3, 180], ">": [3, 0], "p": [5, -90], "h": [6, 0], "*": [5, -90], "P": [4, 0], "X": [4, 45] }[shape];
  if (!turns) return el("circle", { cx: x, cy: y, r: shape === "." ? 1.6 : r, ...paint });
  const points = [];
  for (let i = 0; i < turns[0]; i++) { const a = (turns[1] + 360 / turns[0] * i) * Math.PI / 180; points.push(`${x + 1.25 * r * Math.cos(a)},${y + 1.25 * r * Math.sin(a)}`); }
  return el("polygon", { points: points.join(" "), ...paint });
}
const tip = byId("tip");
function say(node, text) {
  node.classList.add("hit");
  const show = (event) => {
    tip.textContent = text; tip.hidden = false;
    const box = node.getBoundingClientRect();
    tip.style.left = `${Math.min(event.pageX ?? box.left + scrollX, scrollX + innerWidth - 260) + 12}px`;
    tip.style.top = `${(event.pageY ?? box.bottom + scrollY) + 12}px`;
  };
  node.addEventListener("pointerenter", show);
  node.addEventListener("pointerleave", () => { tip.hidden = true; });
  const title = el("title", {}, text);
  node.append(title);
}
const visible = (mark) => !hides(mark.method, mark.guidance);

function drawPlot(panel, width) {
  const marks = panel.marks.filter(visible);
  const drawn = (n, from) => from.some((m) => m.label === n);  // a row without any mark is off the axis, and says so
  const names = panel.sideways ? panel.categories.filter((n, i) => drawn(n, marks) || (!drawn(n, panel.marks) && !hides(panel.row_methods[i], ""))) : panel.categories;
  const place = panel.sideways ? (m) => names.indexOf(m.label) : null;
  const left = panel.sideways ? Math.min(width * 0.4, 14 + 6.2 * Math.max(...names.map((n) => n.length), 4)) : 46;
  const turned = !panel.sideways && names.length && Math.max(...names.map((n) => n.length)) * 6.2 > (width - left) / names.length;
  const bottom = turned ? Math.min(95, 34 + 3.4 * Math.max(...names.map((n) => n.length))) : 38;
  const height = panel.sideways ? 56 + 24 * names.length : 210 + (turned ? bottom - 38 : 0);
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${panel.title} ${panel.x_title} ${panel.y_title}` });
  svg.append(titled(panel.title, width));
  if (!marks.length && !(panel.sideways && names.length)) { svg.append(el("text", { x: left, y: 60, class: "soft" }, "nothing left by the filters")); return svg; }
  const scatter = marks.every((m) => m.style.marker === ".");
  const numbers = (key, extra) => marks.flatMap((m) => [...m[key], ...extra(m)]).filter((v) => v !== null && Number.isFinite(v));
  let xs, ys;
  if (panel.sideways) {
    xs = axis([0, ...numbers("x", (m) => [...m.low, ...m.high, ...m.points.map((p) => p[0])])], false, left, width - 8);
    ys = { at: (v) => 28 + 24 * (v + 0.5) };
  } else {
    const floors = panel.floor.map((f) => f[1]);
    const yv = [...numbers("y", (m) => [...m.low, ...m.high, ...m.points.map((p) => p[1])]), ...floors].filter((v) => !panel.y_log || v > 0);
    ys = axis(names.length && !panel.y_log ? [0, ...yv] : yv, panel.y_log, height - bottom, 24);
    xs = names.length ? { at: (v) => left + (v + 0.5) / names.length * (width - 8 - left) } : axis(numbers("x", (m) => m.points.map((p) => p[0])), panel.x_log, panel.x_reversed ? width - 8 : left, panel.x_reversed ? left : width - 8);
  }
  const text = (x, y, said, anchor = "middle", more = {}) => svg.append(el("text", { x, y, "text-anchor": anchor, class: "soft", ...more }, said));
  if (panel.sideways) {
    for (const v of ticks(xs.low, xs.high, false, Math.floor(width / 90))) {
      svg.append(el("line", { x1: xs.at(v), x2: xs.at(v), y1: 28, y2: height - 28, class: "grid" }));
      text(xs.at(v), height - 15, short(v));
    }
    names.forEach((n, i) => text(left - 6, ys.at(i) + 4, n, "end", { class: "" }));
    if (panel.zero) svg.append(el("line", { x1: xs.at(0), x2: xs.at(0), y1: 28, y2: height - 28, class: "axis" }));
  } else if (!scatter) {
    for (const v of ticks(ys.low, ys.high, panel.y_log, 5)) {
      svg.append(el("line", { x1: left, x2: width - 8, y1: ys.at(v), y2: ys.at(v), class: "grid" }));
      text(left - 5, ys.at(v) + 4, short(v), "end");
    }
    if (names.length) {
      const step = Math.ceil(names.length / 20);
      names.forEach((n, i) => { if (i % step === 0) turned ? text(xs.at(i), height - bottom + 14, n, "end", { transform: `rotate(-30 ${xs.at(i)} ${height - bottom + 14})` }) : text(xs.at(i), height - bottom + 14, n); });
    } else for (const v of ticks(xs.low, xs.high, panel.x_log, Math.floor(width / 80))) text(xs.at(v), height - bottom + 14, short(v));
    svg.append(el("line", { x1: left, x2: width - 8, y1: height - bottom, y2: height - bottom, class: "axis" }));
  }
  text((left + width) / 2, height - 4, panel.x_title);
  if (panel.y_title) svg.append(el("text", { x: 0, y: 0, class: "soft", "text-anchor": "middle", transform: `translate(11 ${(24 + height - bottom) / 2}) rotate(-90)` }, panel.y_title));
  for (const [x, y] of panel.floor) {
    if (y === null || (panel.y_log && y <= 0)) continue;
    const line = x === null ? { x1: left, x2: width - 8 } : { x1: xs.at(x - 0.45), x2: xs.at(x + 0.45) };
    const node = el("line", { ...line, y1: ys.at(y), y2: ys.at(y), class: "floor" });
    say(node, `floor ${short(y)}`);
    svg.append(node);
  }
  for (const m of marks) {
    const at = m.x.map((x, i) => [xs.at(x), ys.at(panel.sideways ? place(m) : m.y[i]), i]).filter(([, , i]) => m.y[i] !== null && (!panel.y_log || m.y[i] > 0));
    if (m.line && at.length > 1) svg.append(el("polyline", { points: at.map(([x, y]) => `${x},${y}`).join(" "), fill: "none", stroke: m.style.colour, "stroke-width": 1.6, "stroke-dasharray": m.style.dash.map((v) => 2 * v).join(" ") }));
    for (const p of m.points) {
      const y = panel.sideways ? place(m) : p[1];
      if (panel.y_log && y <= 0) continue;
      svg.append(el("circle", { cx: xs.at(p[0]), cy: ys.at(y), r: 2, class: "empty", stroke: m.style.colour, "stroke-width": 1, "pointer-events": "none" }));
    }
    for (const [x, y, i] of at) {
      const group = el("g");
      if (m.low.length) {
        const ends = panel.sideways ? { x1: xs.at(m.low[i]), x2: xs.at(m.high[i]), y1: y, y2: y } : { x1: x, x2: x, y1: ys.at(panel.y_log ? Math.max(m.low[i], ys.low) : m.low[i]), y2: ys.at(m.high[i]) };
        group.append(el("line", { ...ends, stroke: m.style.colour, "stroke-width": 1.6 }));
      }
      if (!m.line || m.x.length <= 15) group.append(marker(m.style.marker, x, y, scatter ? 1.6 : 3.6, m.style.colour, m.hollow));
      const where = panel.sideways ? "" : names.length ? `\n${names[Math.round(m.x[i])] || ""}` : `\n${panel.x_title} ${short(m.x[i])}`;
      const value = m.text.length ? m.text[i] : `${short(panel.sideways ? m.x[i] : m.y[i])}${m.low.length ? ` [${short(m.low[i])}, ${short(m.high[i])}]` : ""}`;
      if (group.childNodes.length) { if (!scatter) say(group, `${m.label}${where}\n${value}`); svg.append(group); }
    }
  }
  return svg;
}

const RAMP = [[255, 255, 229], [254, 227, 145], [254, 153, 41], [204, 76, 2], [102, 37, 6]];
function shade(t) {
  const s = Math.max(0, Math.min(1, t)) * (RAMP.length - 1), i = Math.min(RAMP.length - 2, Math.floor(s));
  return RAMP[i].map((a, k) => Math.round(a + (RAMP[i + 1][k] - a) * (s - i)));
}
function drawHeat(panel, width) {
  const rows = panel.row_names.map((name, i) => [name, i]).filter(([, i]) => !hides(panel.row_methods[i], panel.row_guidances[i]));
  const left = Math.min(width * 0.35, 14 + 6.2 * Math.max(...panel.row_names.map((n) => n.length), 4));
  const size = (width - left - 6) / panel.categories.length, high = panel.matrix_text.length ? 20 : Math.min(size, 20);
  const longest = Math.max(...panel.categories.map((n) => n.length)), turned = longest * 6.2 > size;
  const bottom = 26 + (turned ? Math.min(70, longest * 4) : 12);
  const height = 22 + rows.length * high + bottom;
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${panel.title} ${panel.x_title}` });
  svg.append(titled(panel.title, width));
  const [low, top] = panel.matrix_range;
  rows.forEach(([name, i], r) => {
    svg.append(el("text", { x: left - 6, y: 22 + r * high + high / 2 + 4, "text-anchor": "end" }, name));
    panel.matrix[i].forEach((v, c) => {
      const t = v === null ? null : (v - low) / ((top - low) || 1), rgb = t === null ? null : shade(t);
      const group = el("g");
      group.append(el("rect", { x: left + c * size, y: 22 + r * high, width: Math.max(0.5, size - 0.7), height: high - 0.7, fill: rgb ? `rgb(${rgb})` : "none", class: rgb ? "" : "axis" }));
      const said = panel.matrix_text.length ? panel.matrix_text[i][c] : "";
      if (said && size > 28) group.append(el("text", { x: left + (c + 0.5) * size, y: 22 + r * high + high / 2 + 4, "text-anchor": "middle", style: `fill:${t > 0.55 ? "#fff" : "#111"};font-size:10px` }, said));
      say(group, `${name}\n${panel.categories[c]}\n${said || short(v)}`);
      svg.append(group);
    });
  });
  const step = Math.ceil(panel.categories.length / 25);
  panel.categories.forEach((n, c) => {
    if (c % step) return;
    const x = left + (c + 0.5) * size, y = 22 + rows.length * high + 12;
    svg.append(el("text", { x, y, class: "soft", "text-anchor": turned ? "end" : "middle", ...(turned ? { transform: `rotate(-35 ${x} ${y})` } : {}) }, n));
  });
  svg.append(el("text", { x: (left + width) / 2, y: height - 3, class: "soft", "text-anchor": "middle" }, panel.x_title));
  return svg;
}

function drawChart(figure) {
  const chart = charts[figure.dataset.chart], box = figure.querySelector(".panels");
  const panels = chart.panels.filter((p) => p.matrix ? !hides("", p.guidance) && (p.matrix_text.length || p.row_methods.some((m, i) => !hides(m, p.row_guidances[i]))) : (p.marks.length || p.sideways) && !hides("", p.guidance));
  const phone = matchMedia("(max-width: 60rem)").matches;
  const across = phone ? 1 : Math.max(1, Math.min(chart.across, panels.length));
  box.style.setProperty("--across", across);
  const width = Math.max(260, Math.floor(box.clientWidth / across) - 8);
  if (!box.clientWidth) return;
  box.replaceChildren(...panels.map((p) => p.matrix ? drawHeat(p, width) : drawPlot(p, width)));
  if (!panels.length) box.textContent = "Nothing left by the filters.";
  const legend = new Map();
  for (const p of panels) for (const m of p.matrix || p.sideways ? [] : p.marks.filter(visible)) if (!legend.has(m.label)) legend.set(m.label, m);
  const entries = [...legend.values()].map((m) => {
    const span = document.createElement("span"), svg = el("svg", { width: 26, height: 12, "aria-hidden": "true" });
    if (m.line) svg.append(el("line", { x1: 1, x2: 25, y1: 6, y2: 6, stroke: m.style.colour, "stroke-width": 1.6, "stroke-dasharray": m.style.dash.map((v) => 2 * v).join(" ") }));
    svg.append(marker(m.style.marker, 13, 6, 3.4, m.style.colour, m.hollow));
    span.append(svg, ` ${m.label}`);
    return span;
  });
  if (entries.length && panels.some((p) => p.floor.length)) {
    const span = document.createElement("span"), svg = el("svg", { width: 26, height: 12, "aria-hidden": "true" });
    svg.append(el("line", { x1: 1, x2: 25, y1: 6, y2: 6, class: "floor" }));
    span.append(svg, " floor");
    entries.push(span);
  }
  figure.querySelector(".legend").replaceChildren(...entries);
  figure.dirty = false;
  figure.drawn = true;
}
function writeValues(figure) {  // what the marks say, as a table for who cannot point
  const chart = charts[figure.dataset.chart], table = document.createElement("table"), rows = [["Panel", "Series", "Where", "Value"]];
  for (const p of chart.panels) {
    if (p.matrix) p.row_names.forEach((n, i) => p.matrix[i].forEach((v, c) => rows.push([p.title, n, p.categories[c], p.matrix_text.length ? p.matrix_text[i][c] || short(v) : short(v)])));
    else for (const m of p.marks) if (m.style.marker !== ".") m.x.forEach((x, i) => rows.push([p.title, m.label, p.sideways ? "" : p.categories.length ? p.categories[Math.round(x)] : short(x), m.text.length ? m.text[i] : short(p.sideways ? x : m.y[i]) + (m.low.length ? ` [${short(m.low[i])}, ${short(m.high[i])}]` : "")]));
  }
  rows.forEach((cells, i) => {
    const tr = table.insertRow();
    for (const said of cells) { const cell = document.createElement(i ? "td" : "th"); cell.textContent = said; tr.append(cell); }
  });
  figure.querySelector(".values").replaceChildren(table);
}
const near = new Set();
function drawVisible() { for (const figure of near) if (figure.dirty || !figure.drawn) drawChart(figure); }
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) near[entry.isIntersecting ? "add" : "delete"](entry.target);
  drawVisible();
}, { rootMargin: "600px" });
for (const figure of all("figure.chart")) {
  watcher.observe(figure);
  figure.querySelector("details").addEventListener("toggle", (event) => { if (event.target.open) writeValues(figure); });
}
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { for (const f of all("figure.chart")) f.dirty = true; drawVisible(); }, 150); });
addEventListener("beforeprint", () => all("figure.chart").forEach(drawChart));
addEventListener("hashchange", () => { const fold = document.querySelector(location.hash || "#none"); if (fold && fold.tagName === "DETAILS") fold.open = true; });
applyFilters();
