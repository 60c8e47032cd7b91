// The points of colour on the photo in the large view: placed, chosen, moved, made to reach further, removed.

import { $, element, percent } from "/common.js";
import { setHints } from "/hints.js";
import { placeOf, reveal, shortSide } from "/stage.js";

const LONG_PRESS = 600; // ms
const SLOP = 6; // CSS pixels that a finger may move during it
const LEAST = 0.005, MOST = 0.5; // of reaches, as shares of the photo's short side
const STEP = 0.01, FAR = 0.05; // shares of its width and height, for arrow keys

let photo = null, chosen = -1, waiting = null, held = null, usual, onChoice;

/** `choice()` is called when another point is chosen, or the chosen one changes; `reach` is that of new ones. */
export function startPoints(reach, choice) {
  [usual, onChoice] = [reach, choice];
}

export function showPoints(next) {
  if (next !== photo) [photo, chosen, waiting] = [next, -1, null];
  drawPoints();
}

/** The point that is chosen: one of the photo's, or one that waits for a colour; null if there is none. */
export const chosenPoint = () => waiting ?? photo?.hints[chosen] ?? null;
export const isWaiting = () => Boolean(waiting);

/** Choose a place for a new point, which gets its colour next. */
export function placePoint(x, y) {
  [waiting, chosen] = [{ x, y, radius: usual }, -1];
  drawPoints();
  onChoice();
}

export function letGo() {
  [waiting, chosen] = [null, -1];
  drawPoints();
  onChoice();
}

/** Give the chosen point a colour. */
export function colorPoint(color, gesture = null) {
  if (waiting) {
    const made = { ...waiting, color };
    waiting = null;
    chosen = photo.hints.length;
    setHints(photo, [...photo.hints, made], gesture);
    $("points").lastElementChild?.focus({ preventScroll: true });
  } else if (photo.hints[chosen]) change({ color }, gesture);
  onChoice();
}

export function setReach(radius, gesture = "reach") {
  const within = Math.min(MOST, Math.max(LEAST, radius));
  if (waiting) waiting = { ...waiting, radius: within };
  else if (photo.hints[chosen]) change({ radius: within }, `${gesture} ${chosen}`);
  drawPoints();
  onChoice();
}

export function removePoint() {
  if (waiting) return letGo();
  if (!photo.hints[chosen]) return;
  const rest = photo.hints.filter((_, n) => n !== chosen);
  chosen = -1;
  setHints(photo, rest);
  $("stage").focus({ preventScroll: true });
  onChoice();
}

/** Turn the wheel: over the chosen point it changes the reach. Whether it did. */
export function turnReach(steps, event) {
  const point = event.target.closest?.(".point");
  if (!point) return false;
  choose(Number(point.dataset.number));
  setReach(chosenPoint().radius * 1.15 ** steps);
  return true;
}

function change(what, gesture) {
  setHints(photo, photo.hints.map((hint, n) => (n === chosen ? { ...hint, ...what } : hint)), gesture);
}

function choose(number) {
  if (number >= 0 && waiting) waiting = null;
  if (number >= 0 && chosen !== number) {
    chosen = number;
    drawPoints();
    onChoice();
  }
}

/** Bring the points' elements up to date; they stay the same ones, so that focus and pointers stay with them. */
export function drawPoints() {
  const points = photo ? [...photo.hints, ...(waiting ? [waiting] : [])] : [];
  while ($("points").children.length > points.length) $("points").lastElementChild.remove();
  while ($("points").children.length < points.length) $("points").append(makePoint());
  if (chosen >= points.length) chosen = -1;
  points.forEach((point, n) => {
    const made = $("points").children[n], isChosen = point === chosenPoint();
    made.dataset.number = point === waiting ? -1 : n;
    made.style.left = `${100 * point.x}%`;
    made.style.top = `${100 * point.y}%`;
    made.style.setProperty("--color", colorOf(n) ?? "transparent");
    made.style.setProperty("--reach", `${2 * point.radius * shortSide()}px`);
    made.classList.toggle("chosen", isChosen);
    made.classList.toggle("like", Boolean(point.like));
    made.setAttribute("aria-pressed", isChosen);
    const color = point.color ?? "no colour yet";
    made.ariaLabel = `Point ${n + 1}, ${Array.isArray(color) ? colorOf(n) : color}, ${percent(point.x)} from the left, ${percent(point.y)} from the top`;
  });
}

/** How a point looks in the photo: the server has said it, unless it was given only now. */
function colorOf(number) {
  const [point, shown] = [photo.hints[number], photo.shown?.[number]];
  if (!point) return null;
  if (shown && photo.heard === photo.hints) return shown.shown;
  return Array.isArray(point.color) ? shown?.shown : point.color;
}

function makePoint() {
  const point = element("button", { type: "button", className: "point" });
  const number = () => Number(point.dataset.number);
  point.onpointerdown = (event) => {
    if (event.button > 0) return;
    event.stopPropagation();
    if (pinchReach(event)) return;
    choose(number());
    point.focus({ preventScroll: true });
    point.setPointerCapture(event.pointerId);
    held = { point, event, gesture: `drag ${performance.now()}`, moved: false };
    held.timer = setTimeout(() => {
      held = null;
      removePoint();
    }, LONG_PRESS);
  };
  point.onpointermove = (event) => {
    if (!held || held.second) return pinch(event);
    if (!held.moved && apart(event, held.event) < SLOP) return;
    clearTimeout(held.timer);
    held.moved = true;
    move(...placeOf(event), held.gesture);
  };
  point.onpointerup = point.onpointercancel = () => {
    clearTimeout(held?.timer);
    held = null;
    onChoice();
  };
  point.oncontextmenu = (event) => event.preventDefault(); // which a long press opens on a phone
  point.onfocus = () => choose(number());
  point.onkeydown = onKey;
  return point;
}

const apart = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);

/** A second finger comes down while the first one holds a point: its reach follows their distance. Whether it does. */
export function pinchReach(event) {
  if (!held) return false;
  clearTimeout(held.timer);
  held.point.setPointerCapture(event.pointerId);
  Object.assign(held, { second: event.pointerId, from: Math.max(20, apart(event, held.event)), radius: chosenPoint().radius });
  return true;
}

function pinch(event) {
  if (held?.second === event.pointerId) setReach((held.radius * apart(event, held.event)) / held.from, held.gesture);
}

function move(x, y, gesture) {
  const inside = { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
  if (waiting) waiting = { ...waiting, ...inside };
  else if (photo.hints[chosen]) change(inside, gesture);
  drawPoints();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  const point = chosenPoint(), arrow = ARROWS[event.key];
  if (!point || event.ctrlKey || event.metaKey) return;
  if (arrow) {
    const step = event.shiftKey ? FAR : STEP;
    move(point.x + step * arrow[0], point.y + step * arrow[1], `arrows ${chosen}`);
    reveal(chosenPoint().x, chosenPoint().y);
    onChoice();
  } else if (event.key === "Delete" || event.key === "Backspace") removePoint();
  else if (event.key === "+" || event.key === "=") setReach(point.radius * 1.15);
  else if (event.key === "-") setReach(point.radius / 1.15);
  else if (event.key === "Enter") $("palette").querySelector("button, input")?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
