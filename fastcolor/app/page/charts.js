// A history as SVG curves: for each stage or recipe one panel of losses, and one for each figure with that of real photos.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 340, HEIGHT = 190, LEFT = 40, RIGHT = 8, TOP = 8, BOTTOM = 22;
const APART = new Set(["stage", "epoch", "warning", "photos_per_s", "seconds", "peak_mb"]);
const INKS = 7;

const baseOf = (name) => name.replace(/_real$/, "");

/** The panels of a history's rows: title, and lines of a name and its points [epoch, value]. */
export function panelsOf(rows) {
  const panels = [];
  for (const stage of new Set(rows.map((row) => row.stage))) {
    const own = rows.filter((row) => row.stage === stage);
    const names = Object.keys(own[0]).filter((name) => !APART.has(name) && own.some((row) => row[name]));
    const measured = new Set(names.filter((name) => ["psnr", "ciede2000"].includes(name) || names.includes(`${name}_real`)));
    const line = (name) => ({
      name,
      points: own.filter((row) => row[name]).map((row) => [Number(row.epoch), Number(row[name])]).filter((p) => p.every(Number.isFinite)),
    });
    const losses = names.filter((name) => !measured.has(baseOf(name)));
    if (losses.length) panels.push({ title: `${stage}: losses`, lines: losses.map(line) });
    for (const name of measured) {
      panels.push({ title: `${stage}: ${name}`, lines: names.filter((each) => baseOf(each) === name).map(line) });
    }
  }
  return panels;
}

/** A panel as a figure with a legend that has the latest values. */
export function chart({ title, lines }) {
  const figure = document.createElement("figure");
  figure.className = "chart";
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const legend = document.createElement("ul");
  legend.className = "legend";
  lines.forEach(({ name, points }, n) => {
    const item = document.createElement("li");
    item.className = styleOf(lines, n);
    const value = document.createElement("b");
    value.textContent = points.length ? short(points.at(-1)[1]) : "";
    item.append(`${name} `, value);
    legend.append(item);
  });
  figure.append(caption, plot(title, lines), legend);
  return figure;
}

/** The figure of real photos has the colour of the fakes' figure, dashed. */
function styleOf(lines, n) {
  const partner = lines.findIndex(({ name }) => name === baseOf(lines[n].name));
  const is_real = partner >= 0 && partner !== n;
  return `ink${(is_real ? partner : n) % INKS}${is_real ? " real" : ""}`;
}

function plot(title, lines) {
  const points = lines.flatMap((line) => line.points);
  const [first, last] = range(points.map(([x]) => x));
  const ticks = steps(...range(points.map(([, y]) => y)));
  const x = (value) => LEFT + ((value - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - ticks[0]) / (ticks.at(-1) - ticks[0])) * (HEIGHT - TOP - BOTTOM);
  const svg = made("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}, by epoch` });
  for (const tick of ticks) {
    svg.append(made("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    svg.append(made("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of new Set([first, Math.round((first + last) / 2), last])) {
    svg.append(made("text", { x: x(tick), y: HEIGHT - 4, "text-anchor": tick === last && last > first ? "end" : "middle" }, String(tick)));
  }
  lines.forEach((line, n) => {
    const style = styleOf(lines, n);
    const way = line.points.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    svg.append(made("path", { class: style, d: way }));
    for (const [epoch, value] of line.points.slice(-60)) {
      const dot = made("circle", { class: style, cx: x(epoch), cy: y(value), r: line.points.length > 30 ? 1.5 : 2.5 });
      dot.append(made("title", {}, `${line.name}, epoch ${epoch}: ${value}`));
      svg.append(dot);
    }
  });
  return svg;
}

function made(name, attributes, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

const range = (values) => (values.length ? [Math.min(...values), Math.max(...values)] : [0, 1]);

/** Round values, four or five, that span low to high. */
function steps(low, high) {
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const start = Math.floor(low / step), end = Math.ceil(high / step);
  return Array.from({ length: end - start + 1 }, (_, n) => (start + n) * step);
}

/** A figure with three digits, an integer with all. */
export function short(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3)));
}
