// Photos and how far they are: handed in, followed through the queue, looked at, made for a download, removed.

import { ask, element, keep, kept, notice } from "/common.js";
import { settings } from "/settings.js";

const IN_FLIGHT = 4; // photos of this page that are being sent or wait at the server, so that other users' get a turn
const OFTEN = 400, SELDOM = 60_000; // ms between two requests: while something happens, and only to keep the photos

/** All photos, in the order in which they are shown. */
export const photos = [];
const watchers = [];
let setup, timer;

/** Calls `watcher(photo)` when one changes, and `watcher()` when the list of them does. */
export const watch = (watcher) => watchers.push(watcher);

export function changed(photo) {
  if (photo) for (const call of photo.waiting.splice(0)) call();
  for (const watcher of watchers) watcher(photo);
  keepAll();
}

/** Begin with the photos that this tab had before it was loaded again. */
export async function startPhotos(given) {
  setup = given;
  for (const old of kept("photos", [])) {
    photos.push({ ...fresh(old.name), ...old, hints: old.hints.length ? old.hints : NONE, state: "waiting" });
  }
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // the server forgets its photos soon
  addEventListener("beforeunload", (event) => photos.some(isAtRisk) && event.preventDefault());
  changed();
  if (photos.length) await follow();
}

const NONE = []; // no points: what the server knows of a new photo
const fresh = (name) => ({ name, state: "new", own: {}, hints: NONE, heard: NONE, past: [], future: [], notes: [], ready: [], waiting: [], version: 0, ticket: 0 });
const KEPT = ["id", "name", "own", "hints", "past", "future", "saved"];

function keepAll() {
  keep("photos", photos.filter((photo) => photo.id).map((photo) => Object.fromEntries(KEPT.map((name) => [name, photo[name]]))));
}

export function add(files, points) {
  for (const file of files) {
    const photo = { ...fresh(file.name), file, given: points.get(file.name) };
    photos.push(photo);
    if (file.size > setup.most_bytes) {
      Object.assign(photo, { state: "failed", isHopeless: true });
      photo.sentence = `This file is larger than ${setup.most_bytes / 1e6} MB: make the photo smaller first.`;
    }
  }
  changed();
  goOn();
}

/** How a photo is to be coloured: as all, but for what was chosen for it alone. */
export const settingsOf = (photo) => ({ ...settings(), ...photo.own });
export const isSettled = (photo) => photo.state === "done" || photo.state === "failed";
export const isDone = (photo) => Boolean(photo.id && photo.version && photo.state === "done");

/** Whether trying again can help: not where the file itself is wrong. */
export const canTryAgain = (photo) => photo.state === "failed" && !photo.isHopeless && Boolean(photo.id || photo.file);

/** All that a download of a photo depends on. */
const wantedOf = (photo) => JSON.stringify([settingsOf(photo), photo.hints]);
const isAtRisk = (photo) => !isSettled(photo) || (isDone(photo) && photo.saved !== wantedOf(photo));

/** Send as many photos as may be in flight, and ask for the state of the others. */
function goOn() {
  const under = photos.filter((photo) => photo.state !== "new" && !isSettled(photo)).length;
  photos.filter((photo) => photo.state === "new").slice(0, Math.max(0, IN_FLIGHT - under)).forEach(send);
  clearTimeout(timer);
  const waits = photos.some((photo) => photo.id && !isSettled(photo));
  if (photos.some((photo) => photo.id)) timer = setTimeout(follow, waits ? OFTEN : SELDOM);
}

export function tryAgain(photo) {
  if (photo.id) order(photo, settingsOf(photo));
  else Object.assign(photo, { state: "new", sentence: null });
  changed(photo);
  goOn();
}

function send(photo) {
  const sent = settingsOf(photo);
  const query = new URLSearchParams({ name: photo.name, weights: sent.weights, size: sent.size ?? "", strength: sent.strength });
  const request = (photo.request = new XMLHttpRequest()); // fetch does not tell how much has been sent
  request.open("POST", `/photos?${query}`);
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => changed(Object.assign(photo, { share: loaded / total }));
  request.onload = () => {
    if (request.status !== 201) {
      photo.isHopeless = request.status === 413 || request.status === 422;
      fail(photo, request.response?.sentence ?? `The server failed (${request.status}).`);
    } else if (!photos.includes(photo)) drop(request.response.id);
    else {
      take(photo, request.response);
      if (differs(photo)) order(photo, settingsOf(photo)); // changed meanwhile
    }
    goOn();
  };
  request.onerror = () => {
    fail(photo, "This file could not be sent: the server does not answer, or the file is gone.");
    goOn();
  };
  Object.assign(photo, { state: "sending", share: 0 });
  changed(photo);
  request.send(photo.file);
}

async function follow() {
  const asked = photos.filter((photo) => photo.id);
  try {
    const said = await ask(`/photos?ids=${asked.map((photo) => photo.id).join(",")}`);
    for (const photo of asked) {
      if (said[photo.id]) take(photo, said[photo.id]);
      else if (photo.id) forgotten(photo);
    }
    notice();
  } catch (error) {
    notice(error.message);
  }
  goOn();
}

/** Take over what the server says of a photo. */
export function take(photo, said) {
  if (photo.ticket > said.ticket || photo.version > said.version) return; // said before the latest order
  const before = JSON.stringify([photo.state, photo.version, photo.ahead, photo.sentence, photo.ready]);
  const { settings: known, ...rest } = said;
  Object.assign(photo, rest, { known });
  if (JSON.stringify([photo.state, photo.version, photo.ahead, photo.sentence, photo.ready]) !== before) changed(photo);
}

function forgotten(photo) {
  photo.id = null;
  photo.version = photo.ticket = 0;
  photo.heard = NONE;
  photo.refused = null;
  photo.isHopeless = !photo.file;
  fail(photo, "The server has deleted this photo, because this page was inactive for too long.");
}

function fail(photo, sentence) {
  Object.assign(photo, { state: "failed", sentence });
  changed(photo);
}

async function order(photo, what) {
  try {
    take(photo, await ask(`/photos/${photo.id}`, { method: "POST", body: JSON.stringify(what) }));
  } catch (error) {
    if (error.status === 404) forgotten(photo);
    else fail(photo, error.message);
  }
  goOn();
}

const differs = (photo) => JSON.stringify(photo.known) !== JSON.stringify(settingsOf(photo));

/** Colour photos anew after their settings have changed. Strength is blended here; the server hears of it at download. */
export function colorAnew(which, name) {
  if (name !== "strength") which.filter((photo) => photo.id && differs(photo)).forEach((photo) => order(photo, settingsOf(photo)));
  which.forEach(changed);
}

/** Have what is downloaded made by the settings of now; whether that went well. */
async function make(photo, what) {
  while (photo.id && photos.includes(photo)) {
    if (!isSettled(photo) || photo.pushing) await new Promise((resolve) => photo.waiting.push(resolve));
    else if (photo.state === "failed") return false;
    else if (photo.heard !== photo.hints) return false; // the server could not be told: the photo says why
    else if (differs(photo)) await order(photo, settingsOf(photo));
    else if (photo.ready.includes(what)) return true;
    else await order(photo, { make: what });
  }
  return false;
}

/** Make a photo's result, or it beside the photo as it was, and save it; its points of colour come with it. */
export async function download(photo, what = "result") {
  if (!(await make(photo, what))) return;
  save(`/photos/${photo.id}/${what}/download`);
  if (photo.hints.length) save(`/photos/${photo.id}/hints/download`);
  if (what === "result") photo.saved = wantedOf(photo);
  changed(photo);
}

/** Make the results of all photos that were coloured, and save them as one file; `tell(made, count)` says how far it is. */
export async function downloadAll(tell) {
  const all = photos.filter(isDone), queue = [...all];
  let made = 0;
  const work = async () => {
    for (let photo; (photo = queue.shift()); tell(++made, all.length)) await make(photo, "result");
  };
  tell(0, all.length);
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  for (const photo of all) await make(photo, "result"); // those whose settings have changed meanwhile
  const ready = all.filter((photo) => photos.includes(photo) && isDone(photo));
  if (!ready.length) return;
  save(`/zip?ids=${ready.map((photo) => photo.id).join(",")}`);
  for (const photo of ready) photo.saved = wantedOf(photo);
  changed();
}

const save = (href) => element("a", { href, download: "" }).click();

/** Take photos off the page; `drop` or `putBack` decides what becomes of them. Gives them with their places. */
export function takeOff(which) {
  const places = which.map((photo) => [photos.indexOf(photo), photo]);
  for (const photo of which) {
    photo.request?.abort();
    if (photo.state === "sending") photo.state = "new";
    photos.splice(photos.indexOf(photo), 1);
  }
  changed();
  goOn();
  return places;
}

export function putBack(places) {
  for (const [place, photo] of places) photos.splice(place, 0, photo);
  changed();
  goOn();
}

export const drop = (id) => id && ask(`/photos/${id}`, { method: "DELETE" }).catch(() => {}); // if this fails, the server deletes it later

function leave() {
  const ids = photos.map((photo) => photo.id).filter(Boolean);
  if (ids.length) navigator.sendBeacon("/photos/leave", ids.join(","));
}
