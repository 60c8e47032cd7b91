// Films and how far they are. Their work is the server's: it goes on when the page is closed, or loaded again.

import { $, ask, element, keep, kept, notice, percent } from "/common.js";
import { settings } from "/settings.js";

const OFTEN = 500, SELDOM = 60_000; // ms between two requests: while something happens, and only to keep the films

/** All films, in the order in which they are shown. */
export const films = [];
const watchers = [];
let offered, timer;

/** Calls `watcher(film)` when one changes, and `watcher()` when the list of them does. */
export const watchFilms = (watcher) => watchers.push(watcher);

export function changedFilm(film) {
  for (const watcher of watchers) watcher(film);
}

/** Begin with the films that this browser has handed in before. */
export async function startFilms(setup) {
  offered = setup.films;
  addEventListener("beforeunload", (event) => films.some(isOnItsWay) && event.preventDefault());
  for (const id of kept("films", [], localStorage)) films.push({ id, name: "", state: "looking" });
  changedFilm();
  if (films.length) await follow();
}

/** The films of all tabs of this browser: `change` gets their ids and gives those that shall be kept. */
const keepIds = (change) => keep("films", change(kept("films", [], localStorage)), localStorage);

export const isFilm = (name) => offered.suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
const isOnItsWay = (film) => film.state === "new" || film.state === "sending";
export const isAtWork = (film) => ["waiting", "colouring", "showing"].includes(film.state);
export const canStart = (film) => Boolean(film.about) && !isAtWork(film) && !(film.result && film.current && film.pair);

/** Take films in; `points` has the texts of points that were handed in beside them, by the films' names. */
export function addFilms(files, points) {
  for (const file of files) {
    const film = { name: file.name, file, state: "new", given: points.get(file.name) };
    films.push(film);
    const wrong = offered.missing ?? (file.size > offered.most_bytes ? `This film is larger than ${offered.most_bytes / 1e9} GB: make it smaller first.` : null);
    if (wrong) Object.assign(film, { state: "failed", sentence: wrong });
  }
  changedFilm();
  goOn();
}

function goOn() {
  const next = films.find((film) => film.state === "new");
  if (next && !films.some((film) => film.state === "sending")) send(next);
  clearTimeout(timer);
  const asked = films.filter((film) => film.id);
  if (asked.length) timer = setTimeout(follow, asked.some((film) => isAtWork(film) || film.state === "looking") ? OFTEN : SELDOM);
}

function send(film) {
  const { weights, size, strength } = settings();
  const query = new URLSearchParams({ name: film.name, weights, size: size ?? "", strength });
  const request = (film.request = new XMLHttpRequest()); // fetch does not tell how much has been sent
  request.open("POST", `/films?${query}`);
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => changedFilm(Object.assign(film, { share: loaded / total }));
  request.onload = () => {
    if (request.status === 201) {
      takeFilm(film, request.response);
      keepIds((ids) => [...ids, film.id]);
      if (film.given) tell(film, "/hints", { method: "PUT", body: film.given });
    } else fail(film, request.response?.sentence ?? `The server failed (${request.status}).`);
    goOn();
  };
  request.onerror = () => {
    fail(film, "This film could not be sent: the server does not answer, has no room for it, or the file is gone.");
    goOn();
  };
  Object.assign(film, { state: "sending", share: 0 });
  changedFilm(film);
  request.send(film.file);
}

function fail(film, sentence) {
  changedFilm(Object.assign(film, { state: "failed", sentence }));
}

async function follow() {
  const asked = films.filter((film) => film.id);
  try {
    const said = await ask(`/films?ids=${asked.map((film) => film.id).join(",")}`);
    for (const film of asked) {
      if (said[film.id]) takeFilm(film, said[film.id]);
      else if (film.id) forget(film);
    }
    notice();
  } catch (error) {
    notice(error.message);
  }
  goOn();
}

/** Take over what the server says of a film. */
function takeFilm(film, said) {
  const before = JSON.stringify(film.said);
  Object.assign(film, said, { said });
  if (JSON.stringify(said) !== before) changedFilm(film);
}

function forget(film) {
  keepIds((ids) => ids.filter((id) => id !== film.id));
  films.splice(films.indexOf(film), 1);
  changedFilm();
}

/** Ask the server for something about a film; if it refuses, `film.refused` says why. */
export async function tell(film, path, options) {
  try {
    film.refused = null;
    takeFilm(film, await ask(`/films/${film.id}${path}`, options));
  } catch (error) {
    if (error.status === 404) forget(film);
    else film.refused = error.message;
  }
  changedFilm(film);
  goOn();
}

export const startFilm = (film) => tell(film, "/start", { method: "POST" });
export const stopFilm = (film) => tell(film, "/stop", { method: "POST" });
export const saveFilm = (film) => element("a", { href: `/films/${film.id}/download`, download: "" }).click();

export function removeFilm(film) {
  const what = isAtWork(film) || film.result ? `Remove ${film.name}, and all that was made of it?` : null;
  if (what && !confirm(what)) return;
  film.request?.abort();
  if (film.id) ask(`/films/${film.id}`, { method: "DELETE" }).catch(() => {}); // if this fails, the server deletes it later
  forget(film);
  goOn();
}

/** A film's time as 1:02:03. */
export function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, n) => (n ? String(part).padStart(2, "0") : part)).join(":");
}

/** How long something still takes, in words. */
function left(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${Math.max(1, Math.round(seconds))} s left`;
  return minutes < 60 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

export function sentenceOfFilm(film) {
  const { state, sentence, name, ahead, about, share, progress } = film;
  const [done, total, rate] = progress ?? [0, 1, 0];
  switch (state) {
    case "new": return "Waiting to be sent";
    case "sending": return share < 1 ? `Sending, ${percent(share)}` : "Sent";
    case "looking": return "Looking through it …";
    case "waiting": return ahead ? `Waiting for ${ahead} other ${ahead > 1 ? "films" : "film"}` : "Next in line";
    case "colouring":
      if (!progress) return "Colouring begins …";
      return `${done.toLocaleString("en")} of about ${total.toLocaleString("en")} frames, ${rate.toFixed(1)} frames/s, ${left(Math.max(0, total - done) / rate)}`;
    case "showing": return `Coloured. Making it ready to be watched, ${percent(Math.min(1, done / total))}`;
    case "failed": return sentence.startsWith(`${name}: `) ? `This film ${sentence.slice(name.length + 2)}.` : sentence;
    default: {
      const size = `${about.shape[0].toLocaleString("en")} × ${about.shape[1].toLocaleString("en")} pixels`;
      const what = state === "done" && film.current ? "coloured" : "not coloured yet";
      return `${clock(about.seconds)}, ${size}, ${what}`;
    }
  }
}

/** 0 to 1; null while it is not known how far it is, undefined while nothing happens. */
export function shareOf(film) {
  if (film.state === "sending") return film.share;
  if (film.state === "looking" || film.state === "waiting" || film.state === "new") return null;
  if (isAtWork(film)) return film.progress ? Math.min(1, film.progress[0] / film.progress[1]) : null;
}

/** Show a share in a progress element. */
export function showShare(bar, share) {
  bar.hidden = share === undefined;
  if (share === null || share === undefined) bar.removeAttribute("value");
  else bar.value = 100 * share;
}

/** Draw all films as cards; `open(film)` shows one large. */
export function startReel(open) {
  watchFilms((film) => {
    if (!film) {
      for (const each of films) if (!each.card) makeCard(each, open);
      $("films").replaceChildren(...films.map((each) => each.card));
      document.body.classList.toggle("has-films", films.length > 0);
    }
    (film ? [film] : films).filter((each) => each.card).forEach(drawCard);
  });
}

function makeCard(film, open) {
  film.card = $("film").content.firstElementChild.cloneNode(true);
  const acts = { open: () => open(film), start: () => startFilm(film), stop: () => stopFilm(film), download: () => saveFilm(film), remove: () => removeFilm(film) };
  acts.watch = acts.open;
  for (const [name, act] of Object.entries(acts)) film.card.querySelector(`.${name}`).onclick = act;
}

function drawCard(film) {
  const { card, id, name, about, version, state } = film;
  const part = (which) => card.querySelector(`.${which}`);
  part("name").textContent = part("open").title = name;
  part("open").ariaLabel = `Open ${name}`;
  part("open").disabled = !about;
  part("remove").ariaLabel = `Remove ${name}`;
  const text = film.refused ?? sentenceOfFilm(film);
  if (part("state").textContent !== text) part("state").textContent = text;
  card.classList.toggle("failed", state === "failed");
  showShare(card.querySelector("progress"), shareOf(film));
  part("notes").replaceChildren(...[...(film.notes ?? []), ...(state !== "failed" && film.sentence ? [film.sentence] : [])].map((note) => element("li", { textContent: note })));
  part("watch").hidden = !about;
  part("watch").textContent = film.pair ? "Watch" : "Look at it";
  part("start").hidden = !canStart(film);
  part("start").textContent = startWords(film);
  part("stop").hidden = !isAtWork(film);
  part("download").hidden = !film.result;
  const shown = about ? `/films/${id}/stills/${Math.floor(about.times.length / 2)}/after?v=${version}` : "";
  if (shown && part("still").getAttribute("src") !== shown) part("still").src = shown;
}

export const startWords = (film) => (film.result ? "Colour it again" : film.state === "failed" ? "Try again" : "Colour the film");
