// Runs: their curves, sample grids and latest rows, asked for every few seconds while this part is open.

import { $, ask, element } from "/common.js";
import { chart, panelsOf } from "/charts.js";

const EVERY = 3_000; // ms
const ROWS = 8;
const SHEETS = ["coloured.png", "contact_sheet.png"];

let timer, watched = false, name = null, samples = [], drawn = {};

/** Starts with `watch(true)`, and pauses with `watch(false)`. */
export function startTraining() {
  $("runs").onchange = () => {
    name = $("runs").value;
    drawn = {};
    look();
  };
  $("step").oninput = showSample;
  document.addEventListener("visibilitychange", () => watched && !document.hidden && look());
  return {
    watch(is_seen) {
      watched = is_seen;
      if (watched) look();
    },
  };
}

async function look() {
  clearTimeout(timer);
  try {
    const { runs, folder } = await ask("/runs");
    showRuns(runs, folder);
    if (name) show(await ask(`/runs/${encodeURIComponent(name)}`));
  } catch (error) {
    say(error.message);
  }
  clearTimeout(timer);
  if (watched && !document.hidden) timer = setTimeout(look, EVERY);
}

function say(sentence) {
  if ($("progress").textContent !== sentence) $("progress").textContent = sentence;
}

function showRuns(runs, folder) {
  if (!runs.includes(name)) [name, drawn] = [runs[0] ?? null, {}];
  $("run").hidden = !runs.length;
  $("no-run").hidden = Boolean(runs.length);
  $("no-run").replaceChildren(`There is no run in ${folder} yet: `, element("code", { textContent: "fastcolor train" }), " starts one, which will appear here.");
  if ([...$("runs").options].map((each) => each.value).join("\n") !== runs.join("\n")) {
    $("runs").replaceChildren(...runs.map((each) => new Option(each, each)));
  }
  $("runs").value = name ?? "";
}

/** Draw what has changed: redrawing all would take away what is selected or pointed at. */
function changed(part, value) {
  const text = JSON.stringify(value);
  const is_new = drawn[part] !== text;
  drawn[part] = text;
  return is_new;
}

function show({ stages, history, written, pictures }) {
  const latest = history.at(-1);
  const finished = stages.length > 0 && stages.every((stage) => stage.finished);
  const parts = [latest ? `${latest.stage}, epoch ${latest.epoch}` : "no epoch is finished yet"];
  if (latest?.photos_per_s) parts.push(`${Math.round(latest.photos_per_s)} photos/s`);
  if (written) parts.push(`updated ${ago(Date.now() / 1000 - written)}`);
  if (finished) parts.push(`finished: ${stages.map((stage) => stage.name).join(", ")}`);
  say(parts.join(" · "));
  $("warning").hidden = !latest?.warning;
  $("warning").textContent = latest?.warning ? `In the latest epoch: ${latest.warning}.` : "";
  if (changed("history", history)) {
    $("curves").replaceChildren(...panelsOf(history).map(chart));
    showRows(history);
  }
  if (changed("pictures", pictures)) showPictures(pictures);
}

function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} days ago`;
}

const source = ({ name: picture, written }) => `/runs/${encodeURIComponent(name)}/${encodeURIComponent(picture)}?${written}`;

function showPictures(pictures) {
  const stayed = samples.length && Number($("step").value) < samples.length - 1;
  samples = pictures.filter((picture) => !SHEETS.includes(picture.name));
  $("samples").hidden = !samples.length;
  $("steps").hidden = samples.length < 2;
  $("step").max = samples.length - 1;
  if (!stayed || drawn.run !== name) $("step").value = samples.length - 1; // the newest, unless the user looks at an earlier one
  drawn.run = name;
  if (samples.length) showSample();
  const sheets = pictures.filter((picture) => SHEETS.includes(picture.name));
  $("sheets").hidden = !sheets.length;
  $("sheets").lastElementChild.replaceChildren(...sheets.map((sheet) => element("img", { src: source(sheet), alt: sheet.name })));
}

function showSample() {
  const picture = samples[Number($("step").value)];
  const title = picture.name.replace(/\.png$/, "").replace(/_epoch0*(\d+)$/, ", epoch $1");
  $("sample-name").textContent = `${title}: grey, fake, real`;
  $("sample").alt = `Sample grid of ${title}: grey, fake and real photos`;
  if ($("sample").getAttribute("src") !== source(picture)) $("sample").src = source(picture);
  $("step").setAttribute("aria-valuetext", title);
}

function showRows(history) {
  const rows = history.slice(-ROWS).reverse();
  const columns = rows.length ? Object.keys(rows[0]).filter((column) => rows.some((row) => row[column]) && column !== "warning") : [];
  const line = (cell, values) => element("tr", {}, ...values.map((value) => element(cell, { textContent: value })));
  $("rows").hidden = !rows.length;
  document.querySelector("#rows table").replaceChildren(
    element("thead", {}, line("th", columns)),
    element("tbody", {}, ...rows.map((row) => line("td", columns.map((column) => row[column])))),
  );
}
