// How photos are coloured: the form for all of them, and the same form for one of them, and for a film.

import { $, keep, kept, percent } from "/common.js";

const NAMES = ["weights", "size", "strength"];

let offered;

/** Fill the form for all photos; `changed` is called after each change. */
export function startSettings(setup, changed) {
  offered = setup;
  fill("", kept("settings", {}));
  watch("", (name) => {
    keep("settings", settings());
    changed(name);
  });
}

/** What the form for all photos says. */
export const settings = () => read("");

/** Show what is true of one photo in its form. */
export const showOwn = (own) => fill("own-", own);

/** Calls `changed` with a setting's name and value whenever the form of one photo changes. */
export function watchOwn(changed) {
  watch("own-", (name) => changed(name, read("own-")[name]));
}

/** The same form of a film. */
export const showFilm = (own) => fill("film-", own);
export const watchFilm = (changed) => watch("film-", changed);
export const filmSettings = () => read("film-");

const read = (prefix) => ({
  weights: $(`${prefix}weights`).value,
  size: Number($(`${prefix}size`).value) || null,
  strength: Number($(`${prefix}strength`).value),
});

function watch(prefix, changed) {
  $(`${prefix}strength`).form.onsubmit = (event) => event.preventDefault();
  for (const name of NAMES) {
    $(prefix + name).oninput = () => {
      if (name === "weights") showSizes(prefix, $(`${prefix}size`).value);
      showStrength(prefix);
      changed(name);
    };
  }
}

function fill(prefix, { weights = offered.weights[0].name, size = null, strength = 1 }) {
  const choice = $(`${prefix}weights`);
  if (!choice.length) choice.append(...offered.weights.map(({ name }) => new Option(name === "bundled" ? "fastcolor’s own" : name, name)));
  choice.value = weights;
  if (!choice.value) choice.selectedIndex = 0; // these weights are gone
  showSizes(prefix, size ?? "");
  $(`${prefix}strength`).value = strength;
  showStrength(prefix);
}

function showSizes(prefix, chosen) {
  const { size, keeps_light } = offered.weights.find(({ name }) => name === $(`${prefix}weights`).value);
  const own = new Option(keeps_light ? `as trained (${size} px)` : "the photo’s own", "");
  $(`${prefix}size`).replaceChildren(own, ...offered.sizes.map((each) => new Option(`${each} px`, each)));
  $(`${prefix}size`).value = chosen;
}

function showStrength(prefix) {
  $(`${prefix}strength-shown`).textContent = percent($(`${prefix}strength`).value);
}
