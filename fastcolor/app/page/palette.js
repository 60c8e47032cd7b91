// The colour of the chosen point: suggestions, the field of colours that there are at its lightness, hex, recent ones.

import { $, ask, element, keep, kept, percent } from "/common.js";
import { chosenPoint, colorPoint, isWaiting, removePoint, setReach } from "/points.js";

const RECENT = 12;
const ARROWS = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, 2], ArrowDown: [0, -2] };

let photo = null, place = "", light = null;
let borders = [-1, -1, 1, 1]; // of the field: the a and b of its left, bottom, right and top

export function startPalette() {
  $("hex").onchange = () => $("hex").value.trim() && give($("hex").value.trim());
  $("reach").oninput = () => setReach($("reach").value ** 2);
  $("remove-point").onclick = removePoint;
  const field = $("field");
  field.onpointerdown = (event) => {
    field.setPointerCapture(event.pointerId);
    pick(event, `field ${performance.now()}`);
  };
  field.onpointermove = (event) => event.buttons && pick(event, field.gesture);
  field.onpointerup = () => remember(shownColor());
  field.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const [a, b] = shownAb() ?? [0, 0];
    const far = event.shiftKey ? 5 : 1;
    choose([a + far * arrow[0], b + far * arrow[1]], "field keys");
  };
}

/** Show what belongs to the chosen point of a photo. */
export function showPalette(next) {
  photo = next;
  const point = photo && chosenPoint();
  $("palette").hidden = !point;
  $("no-point").hidden = Boolean(point);
  if (!point) return (place = "");
  $("palette-title").textContent = isWaiting() ? "Choose a colour" : "This point";
  $("remove-point").textContent = isWaiting() ? "Cancel" : "Remove point";
  $("reach").value = Math.sqrt(point.radius);
  $("reach-shown").textContent = percent(point.radius);
  if (document.activeElement !== $("hex")) $("hex").value = shownColor() ?? "";
  $("note").textContent = shownPoint()?.note ?? photo.refused ?? "";
  $("note").hidden = !$("note").textContent;
  showMark();
  showRecent();
  const here = `${photo.id} ${point.x.toFixed(3)} ${point.y.toFixed(3)}`;
  if (here !== place) suggest(here, point);
}

/** What the server says of the chosen point, once it knows of it as it is now. */
function shownPoint() {
  return photo.heard === photo.hints ? photo.shown?.[photo.hints.indexOf(chosenPoint())] : null;
}

function shownColor() {
  const color = chosenPoint()?.color;
  return shownPoint()?.shown ?? (Array.isArray(color) ? null : color);
}

function shownAb() {
  const color = chosenPoint()?.color;
  return shownPoint()?.ab ?? (Array.isArray(color) ? color : null);
}

let asking = null, next = null;

/** Ask for the suggestions of a place: one request at a time, for the latest place while a point is dragged. */
async function suggest(here, { x, y }) {
  [place, next] = [here, { here, x, y }];
  if (asking) return;
  while (next) {
    const { here: asked, x: left, y: top } = next;
    next = null;
    try {
      asking = ask(`/photos/${photo.id}/suggestions?x=${left}&y=${top}`);
      const found = await asking;
      if (place === asked) showSuggestions(found);
    } catch (error) {
      $("suggestions").replaceChildren(element("p", { className: "small", textContent: error.message }));
    }
    asking = null;
  }
}

function showSuggestions({ lightness, field, colors }) {
  if (light !== lightness) {
    [light, borders] = [lightness, field];
    $("field-picture").src = `/field/${light}`;
    $("field").style.aspectRatio = (field[2] - field[0]) / (field[3] - field[1]);
    showMark();
  }
  $("suggestions").replaceChildren(...colors.map(({ color, share }) => swatch(color, `${color}, ${percent(share)}`, percent(share))));
}

function swatch(color, label, text = "") {
  const made = element("button", { type: "button", className: "swatch", title: label, ariaLabel: label }, element("span", { textContent: text }));
  made.style.setProperty("--color", color);
  made.onclick = () => give(color);
  return made;
}

function give(color) {
  if (CSS.supports("color", color)) {
    colorPoint(color);
    remember(color);
  } else {
    $("note").textContent = `${color} is no colour: write #2b4c9b, or a name such as navy.`;
    $("note").hidden = false;
  }
}

function pick(event, gesture) {
  $("field").gesture = gesture;
  const { left, top, width, height } = $("field").getBoundingClientRect();
  const [least, lowest, most, highest] = borders;
  choose([least + ((most - least) * (event.clientX - left)) / width, highest - ((highest - lowest) * (event.clientY - top)) / height], gesture);
}

function choose(ab, gesture) {
  colorPoint(ab.map((value, axis) => Math.round(10 * Math.min(borders[axis + 2], Math.max(borders[axis], value))) / 10), gesture);
}

function showMark() {
  const ab = shownAb();
  $("mark").hidden = !ab;
  if (!ab) return;
  const [least, lowest, most, highest] = borders;
  $("mark").style.left = `${(100 * (ab[0] - least)) / (most - least)}%`;
  $("mark").style.top = `${(100 * (highest - ab[1])) / (highest - lowest)}%`;
  $("field").setAttribute("aria-valuetext", `${shownColor() ?? ""} a ${Math.round(ab[0])}, b ${Math.round(ab[1])}`);
  $("field").setAttribute("aria-valuenow", Math.round(ab[0]));
}

const recent = () => kept("recent colours", [], localStorage);

function remember(color) {
  if (!color) return;
  keep("recent colours", [color, ...recent().filter((each) => each !== color)].slice(0, RECENT), localStorage);
  showRecent();
}

function showRecent() {
  const colors = recent().join(" ");
  $("recent-part").hidden = !colors;
  if ($("recent").dataset.colors === colors) return;
  $("recent").dataset.colors = colors;
  $("recent").replaceChildren(...recent().map((color) => swatch(color, color)));
}
