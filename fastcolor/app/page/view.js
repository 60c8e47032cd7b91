// One photo, large: its colours are chosen here, by points, by those of another photo, and by settings of its own.

import { $, ask, percent } from "/common.js";
import { sentenceOf } from "/grid.js";
import { redo, setHints, undo } from "/hints.js";
import { showPalette, startPalette } from "/palette.js";
import { changed, colorAnew, download, isSettled, photos, settingsOf, watch } from "/photos.js";
import { chosenPoint, drawPoints, letGo, pinchReach, placePoint, removePoint, showPoints, startPoints, turnReach } from "/points.js";
import { draw, isFit, isSmallest, pan, showOnStage, startStage, zoomedTo, zoomTo } from "/stage.js";
import { showOwn, watchOwn } from "/settings.js";

let photo = null;

export function startView({ reach }) {
  startStage({ click: placePoint, turn: turnReach, second: pinchReach, view: showZoom });
  startPoints(reach, () => showPalette(photo));
  startPalette();
  watch((which) => (!which || which === photo) && update());
  watchOwn((name, value) => {
    photo.own = { ...photo.own, [name]: value };
    colorAnew([photo], name);
  });
  const clicks = {
    "view-close": () => $("view").close(),
    previous: () => turn(-1),
    next: () => turn(1),
    undo: () => undo(photo),
    redo: () => redo(photo),
    reset: () => setHints(photo, []),
    "zoom-in": () => zoomTo(1.4),
    "zoom-out": () => zoomTo(1 / 1.4),
    "zoom-fit": () => zoomTo(0),
    "zoom-own": () => zoomTo(1),
    "add-point": addPoint,
    "view-download": () => download(photo),
    "view-beside": () => download(photo, "beside"),
    "as-all": () => {
      photo.own = {};
      showOwn(settingsOf(photo));
      colorAnew([photo], "weights");
    },
    like: () => $("like-file").click(),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).onclick = act;
  $("like-file").onchange = () => takeColors($("like-file").files[0]);
  $("split").oninput = () => split($("split").value);
  $("split-on").onchange = () => split($("split-on").checked ? $("split").value : 0);
  holdBefore();
  $("view").onkeydown = onKey;
  $("view").oncancel = (event) => chosenPoint() && (event.preventDefault(), letGo());
  $("view").onclose = () => {
    const { card } = photo;
    show(null);
    card?.querySelector(".open").focus();
  };
}

export function openView(which) {
  $("view").showModal();
  show(which);
  $("stage").focus();
  ask(`/photos/${which.id}/suggestions?x=0.5&y=0.5`).catch(() => {}); // so that the network is loaded at the first click
}

function show(next) {
  photo = next;
  $("view").classList.remove("is-before");
  $("split-on").checked = false;
  split(0);
  showOnStage(photo);
  showPoints(photo);
  if (photo) {
    showOwn(settingsOf(photo));
    update();
  }
}

function turn(by) {
  const open = photos.filter((each) => each.id && each.version);
  show(open[(open.indexOf(photo) + by + open.length) % open.length]);
}

/** Bring all up to date with the photo. */
function update() {
  if (!photo) return;
  if (!photos.includes(photo) || !photo.version) return $("view").close();
  $("view-name").textContent = photo.name;
  $("view-state").textContent = sentenceOf(photo);
  $("view").classList.toggle("is-busy", !isSettled(photo));
  $("view").style.setProperty("--strength", settingsOf(photo).strength);
  $("undo").disabled = !photo.past.length;
  $("redo").disabled = !photo.future.length;
  $("reset").disabled = !photo.hints.length;
  $("previous").disabled = $("next").disabled = photos.length < 2;
  $("view-download").disabled = !isSettled(photo);
  $("as-all").hidden = !Object.keys(photo.own).length;
  $("all-before").alt = `${photo.name}, before`;
  $("all-after").alt = `${photo.name}, coloured`;
  draw();
  drawPoints();
  showPalette(photo);
}

function showZoom() {
  drawPoints();
  $("zoom-shown").textContent = percent(zoomedTo());
  $("zoom-out").disabled = isSmallest();
  $("zoom-fit").disabled = isFit();
}

/** A new point where nothing is yet, for the keyboard: the arrow keys move it. */
function addPoint() {
  const { left, top, width, height } = $("stage").getBoundingClientRect(), scene = $("scene").getBoundingClientRect();
  placePoint((left + width / 2 - scene.left) / scene.width, (top + height / 2 - scene.top) / scene.height);
  $("points").lastElementChild.focus();
}

/** Take over the colours of another photo, as points that come before the user's own. */
async function takeColors(file) {
  if (!file) return;
  $("like-file").value = "";
  $("like").disabled = true;
  const own = photo;
  try {
    const { hints } = await ask(`/photos/${own.id}/like?name=${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
    setHints(own, [...hints.map((hint) => ({ ...hint, like: true })), ...own.hints.filter((hint) => !hint.like)]);
    if (!hints.length) own.refused = `${file.name} shows nothing that is also in this photo.`;
  } catch (error) {
    own.refused = error.message;
  }
  changed(own);
  $("like").disabled = false;
}

function split(percentage) {
  $("view").classList.toggle("is-split", $("split-on").checked);
  $("view").style.setProperty("--split", `${percentage}%`);
}

/** The photo as it was is shown while the button, or the key B, is held. */
function holdBefore() {
  const hold = (is_held) => $("view").classList.toggle("is-before", is_held);
  const button = $("hold");
  button.onpointerdown = () => hold(true);
  button.onpointerup = button.onpointercancel = button.onpointerleave = button.onblur = () => hold(false);
  button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && hold(true);
  button.onkeyup = () => hold(false);
  button.oncontextmenu = (event) => event.preventDefault();
  $("view").addEventListener("keydown", (event) => event.key.toLowerCase() === "b" && !isTyping(event) && hold(true));
  $("view").addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && hold(false));
}

const isTyping = (event) => event.target.matches("input:not([type=range]):not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey;

const KEYS = { n: addPoint, "+": () => zoomTo(1.4), "=": () => zoomTo(1.4), "-": () => zoomTo(1 / 1.4), 0: () => zoomTo(0), 1: () => zoomTo(1) };
KEYS.PageUp = () => turn(-1);
KEYS.PageDown = () => turn(1);
KEYS.Delete = KEYS.Backspace = removePoint;
const PANS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

function onKey(event) {
  const is_undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  const is_redo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y";
  if ((is_undo || is_redo) && !event.target.matches("#hex")) (is_redo || event.shiftKey ? redo : undo)(photo);
  else if (isTyping(event)) return;
  else if (event.target === $("stage") && PANS[event.key]) pan(...PANS[event.key]);
  else if (KEYS[event.key] && !event.target.matches("input")) KEYS[event.key]();
  else return;
  event.preventDefault();
}
