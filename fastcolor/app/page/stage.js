// The photo in the large view: which part of it is seen, how large, and with how many pixels.

import { $ } from "/common.js";

const MOST = 1280; // pixels of the picture of all of it, which follows each change: what the server colours at once
const CLOSEST = 4; // times the photo's own pixels
const CALM = 180; // ms without a change until a sharper picture is fetched
const SLOP = 6; // CSS pixels that a finger may move and still click

let photo = null, zoom = 1, centre = [0.5, 0.5], shown = "", first = MOST, timer, box = null;
let onClick, onTurn, onSecond, onView;

/**
 * `click(x, y)` gets a place as shares of the photo's width and height. `turn(steps, event)` and `second(event)` say whether
 * they used the wheel, or a finger that came down. `view()` follows each change of what is seen.
 */
export function startStage({ click, turn, second, view }) {
  [onClick, onTurn, onSecond, onView] = [click, turn, second, view];
  new ResizeObserver(() => photo && draw()).observe($("stage"));
  $("stage").addEventListener("wheel", wheel, { passive: false });
  takePointers();
}

/** Show a photo from the beginning; null: none. */
export function showOnStage(next) {
  [photo, zoom, centre, shown, box] = [next, 1, [0.5, 0.5], "", null];
  for (const layer of layers()) layer.removeAttribute("src");
  for (const layer of [$("near-before"), $("near-after")]) layer.hidden = true;
  if (!photo) return;
  first = Math.min(MOST, Math.ceil(Math.max(...photo.shape) * fit() * devicePixelRatio));
  draw();
}

const layers = () => document.querySelectorAll("#scene img");

/** CSS pixels for each of the photo's, where all of it is seen. */
function fit() {
  const { clientWidth, clientHeight } = $("stage");
  return Math.min(clientWidth / photo.shape[0], clientHeight / photo.shape[1]);
}

/** The zoom at which one pixel of the photo is one of the screen. */
const oneToOne = () => 1 / (fit() * devicePixelRatio);
export const zoomedTo = () => zoom * fit() * devicePixelRatio;
export const isFit = () => zoom === 1;

/** All of the photo, or its own pixels where these are fewer. */
const least = () => Math.min(1, oneToOne());
export const isSmallest = () => zoom <= least();

/** Zoom by a factor, or with `0` to all of the photo, with `1` to its own pixels; the place `at` stays where it is. */
export function zoomTo(how, at = centre) {
  const next = how === 0 ? 1 : how === 1 ? oneToOne() : zoom * how;
  const closer = Math.min(Math.max(next, least()), Math.max(1, CLOSEST * oneToOne()));
  centre = centre.map((middle, axis) => at[axis] + ((middle - at[axis]) * zoom) / closer);
  zoom = closer;
  draw();
}

/** Move what is seen by CSS pixels. */
export function pan(right, down) {
  const scale = fit() * zoom;
  centre = [centre[0] - right / (photo.shape[0] * scale), centre[1] - down / (photo.shape[1] * scale)];
  draw();
}

/** The CSS pixels of the photo's short side, for reaches. */
export const shortSide = () => Math.min(...photo.shape) * fit() * zoom;

/** Where a pointer is, as shares of the photo's width and height. */
export function placeOf({ clientX, clientY }) {
  const { left, top, width, height } = $("scene").getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

/** Bring a place into view. */
export function reveal(x, y) {
  const seen = visible();
  if (x < seen[0] || x > seen[2] || y < seen[1] || y > seen[3]) {
    centre = [x, y];
    draw();
  }
}

/** What is seen of the photo: left, top, right, bottom as shares. */
function visible() {
  const { clientWidth, clientHeight } = $("stage");
  const half = [clientWidth, clientHeight].map((length, axis) => length / (2 * photo.shape[axis] * fit() * zoom));
  return [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]].map((share) => Math.min(1, Math.max(0, share)));
}

/** Place the photo, and fetch what is missing. */
export function draw() {
  const size = photo.shape.map((length) => length * fit() * zoom);
  const room = [$("stage").clientWidth, $("stage").clientHeight];
  centre = centre.map((middle, axis) => {
    const half = Math.min(0.5, room[axis] / (2 * size[axis]));
    return Math.min(Math.max(middle, half), 1 - half);
  });
  const corner = room.map((length, axis) => length / 2 - centre[axis] * size[axis]);
  Object.assign($("scene").style, { width: `${size[0]}px`, height: `${size[1]}px`, left: `${corner[0]}px`, top: `${corner[1]}px` });
  onView();
  fetchAll();
}

function fetchAll() {
  const now = `${photo.id} ${photo.version}`;
  if (shown !== now) {
    if (!$("all-before").hasAttribute("src")) $("all-before").src = `/photos/${photo.id}/before?side=${first}`;
    replace("all-after", `/photos/${photo.id}/after?side=${first}&v=${photo.version}`, () => ($("near-after").hidden = true));
    [shown, box] = [now, null];
  }
  clearTimeout(timer);
  timer = setTimeout(fetchNear, CALM);
}

/** Fetch what is seen with as many pixels as the screen has. */
function fetchNear() {
  if (!photo || !$("view").open) return;
  const [left, top, right, bottom] = visible();
  const [width, height] = photo.shape;
  const part = [Math.floor(left * width), Math.floor(top * height), Math.ceil(right * width), Math.ceil(bottom * height)];
  const own = Math.max(part[2] - part[0], part[3] - part[1]);
  const side = Math.min(own, Math.ceil(own * fit() * zoom * devicePixelRatio));
  const isEnough = side <= (first * own) / Math.max(width, height) || Math.max(width, height) <= first;
  if (box === `${part}` || isEnough) {
    if (isEnough) for (const name of ["near-before", "near-after"]) $(name).hidden = true;
    return;
  }
  box = `${part}`;
  for (const what of ["before", "after"]) {
    const place = { left: part[0] / width, top: part[1] / height, width: (part[2] - part[0]) / width, height: (part[3] - part[1]) / height };
    replace(`near-${what}`, `/photos/${photo.id}/${what}?box=${part}&side=${side}&v=${photo.version}`, (layer) => {
      for (const [name, share] of Object.entries(place)) layer.style[name] = `${100 * share}%`;
      layer.hidden = false;
    });
  }
}

const latest = {};

/** Put another picture into a layer once it is decoded, so that nothing flickers. */
async function replace(id, source, then) {
  latest[id] = source;
  const next = new Image();
  next.src = source;
  await next.decode().catch(() => {});
  if (latest[id] !== source || !next.naturalWidth) return; // a later one was asked for
  const layer = $(id);
  next.className = layer.className;
  next.style.cssText = layer.style.cssText;
  next.id = id;
  next.alt = layer.alt;
  layer.replaceWith(next);
  then(next);
}

function wheel(event) {
  event.preventDefault();
  const steps = -event.deltaY / (event.deltaMode ? 3 : 100);
  if (!onTurn(steps, event)) zoomTo(1.2 ** steps, placeOf(event));
}

/** One pointer clicks, or moves what is seen; two zoom. Those that begin on a point of colour are not seen here. */
function takePointers() {
  const stage = $("stage"), fingers = new Map();
  let moved = false;
  stage.onpointerdown = (event) => {
    if (!photo || event.button > 0 || event.target.closest(".point") || onSecond(event)) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    moved = fingers.size > 1;
  };
  stage.onpointermove = (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const [right, down] = [event.clientX - last.clientX, event.clientY - last.clientY];
    if (!moved && Math.hypot(right, down) < SLOP) return;
    moved = true;
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      zoomTo(apart(event) / Math.max(1, apart(last)), placeOf(middle));
      pan(right / 2, down / 2);
    } else pan(right, down);
    fingers.set(event.pointerId, event);
  };
  stage.onpointerup = stage.onpointercancel = (event) => {
    const began = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    if (!began || moved || event.type === "pointercancel") return;
    const [x, y] = placeOf(event);
    if (x >= 0 && x <= 1 && y >= 0 && y <= 1) onClick(x, y);
  };
}
