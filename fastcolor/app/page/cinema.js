// One film, large: stills to choose settings by, and the coloured film to be watched, beside how it was.

import { $, element } from "/common.js";
import { canStart, clock, films, isAtWork, removeFilm, saveFilm, sentenceOfFilm, shareOf, showShare, startFilm, startWords, stopFilm, tell, watchFilms } from "/films.js";
import { filmSettings, showFilm, watchFilm } from "/settings.js";

const CALM = 300; // ms without a change until stills are coloured anew
const STEP = 5; // seconds that an arrow key moves

let film = null, moment = 0, stills = [], held = false, drawn = "", timer;

export function startCinema() {
  watchFilms((which) => film && (!which || which === film) && update());
  watchFilm(changeSoon);
  $("film-deinterlace").onchange = changeSoon;
  const clicks = {
    "cinema-close": () => $("cinema").close(),
    "film-start": () => startFilm(film),
    "film-stop": () => stopFilm(film),
    "film-download": () => saveFilm(film),
    "film-remove": () => removeFilm(film),
    "film-play": play,
    "film-sound": () => (video().muted = !video().muted),
    "film-like": () => $("film-like-file").click(),
    "film-unlike": () => tell(film, "/like", { method: "DELETE" }),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).onclick = act;
  $("film-like-file").onchange = takeColors;
  $("film-seek").oninput = () => (video().currentTime = Number($("film-seek").value));
  $("film-split").oninput = paint;
  holdBefore();
  dragSplit();
  watchVideo();
  $("cinema").addEventListener("keydown", onKey);
  $("cinema").onclose = () => {
    const { card } = film;
    show(null);
    card?.querySelector(".open").focus();
  };
}

const video = () => $("film-video");

export function openCinema(which) {
  $("cinema").showModal();
  show(which);
  $("screen").focus();
}

function show(next) {
  [film, moment, stills, drawn] = [next, 0, [], ""];
  video().pause();
  video().removeAttribute("src");
  video().load();
  if (!film) return;
  moment = Math.floor(film.about.times.length / 2);
  showFilm(film.settings);
  $("film-deinterlace").checked = film.deinterlace;
  update();
}

/** Bring all up to date with the film. */
function update() {
  if (!films.includes(film) || !film.about) return $("cinema").close();
  $("cinema-name").textContent = film.name;
  const said = film.refused ?? sentenceOfFilm(film);
  if ($("cinema-state").textContent !== said) $("cinema-state").textContent = said;
  showShare($("cinema-progress"), shareOf(film));
  $("film-start").hidden = !canStart(film);
  $("film-start").textContent = startWords(film);
  $("film-stop").hidden = !isAtWork(film);
  $("film-download").hidden = !film.result;
  $("film-form").inert = isAtWork(film);
  $("film-busy").hidden = !isAtWork(film);
  $("film-old").hidden = !film.result || film.current;
  $("film-deinterlace").parentElement.hidden = !film.about.interlaced;
  $("film-sound").hidden = !film.about.sound;
  $("film-liked").textContent = film.like ?? "";
  $("film-hints").hidden = !film.hints;
  $("film-hints").textContent = `Points of colour: ${film.hints}, from ${film.name}.hints.json. They are not in the small pictures.`;
  $("film-unlike").hidden = !film.like;
  $("film-notes").replaceChildren(...film.notes.map((note) => element("li", { textContent: note })));
  const isWatched = film.pair && film.current;
  $("film-player").hidden = !isWatched;
  $("film-moments").hidden = isWatched;
  isWatched ? showVideo() : showStills();
}

function showVideo() {
  const source = `/films/${film.id}/watch?v=${film.ticket}`;
  if (drawn === source) return;
  drawn = source;
  video().src = source;
}

async function showStills() {
  const now = `${film.id} ${film.version} ${moment}`;
  if (drawn === now) return paint();
  drawn = now;
  video().pause();
  const address = (number, what) => `/films/${film.id}/stills/${number}/${what}?v=${film.version}`;
  const buttons = film.about.times.map((time, number) => {
    const button = element("button", { type: "button", ariaLabel: `Moment ${clock(time)}` }, element("img", { src: address(number, "after"), alt: "" }), element("span", { textContent: clock(time) }));
    button.setAttribute("aria-pressed", number === moment);
    button.onclick = () => turnTo(number);
    return button;
  });
  const focused = [...$("film-moments").children].indexOf(document.activeElement);
  $("film-moments").replaceChildren(...buttons);
  if (focused >= 0) buttons[focused]?.focus();
  const loaded = await Promise.all(["before", "after"].map(async (what) => {
    const image = Object.assign(new Image(), { src: address(moment, what) });
    await image.decode().catch(() => {});
    return image;
  }));
  if (drawn !== now) return; // another was asked for
  stills = loaded;
  paint();
}

function turnTo(number) {
  moment = (number + film.about.times.length) % film.about.times.length;
  showStills();
}

/** Draw before to the left of the divider and after to its right; only before, while that is held. */
function paint() {
  const canvas = $("film-picture"), isVideo = !$("film-player").hidden;
  const [before, after] = isVideo ? [video(), video()] : stills;
  const width = isVideo ? before.videoWidth : before?.naturalWidth, height = isVideo ? before.videoHeight / 2 : before?.naturalHeight;
  if (!film || !width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), at = held ? width : Math.round((width * $("film-split").value) / 100);
  pen.drawImage(before, 0, 0, width, height, 0, 0, width, height);
  if (at < width) {
    pen.save();
    pen.beginPath();
    pen.rect(at, 0, width - at, height);
    pen.clip();
    pen.globalAlpha = isVideo ? 1 : filmSettings().strength;
    pen.drawImage(after, 0, isVideo ? height : 0, width, height, 0, 0, width, height);
    pen.restore();
  }
  if (at > 0 && at < width) {
    pen.fillStyle = "#fff";
    pen.fillRect(at, 0, Math.max(1, Math.round(width / 500)), height);
  }
}

function changeSoon() {
  paint();
  clearTimeout(timer);
  const own = film;
  timer = setTimeout(async () => {
    const given = { ...filmSettings(), deinterlace: $("film-deinterlace").checked };
    await tell(own, "", { method: "POST", body: JSON.stringify(given) });
    if (own.refused && own === film) showFilm(film.settings); // these can't be taken
  }, CALM);
}

/** Take over the colours of a photo for the whole film. */
async function takeColors() {
  const file = $("film-like-file").files[0];
  $("film-like-file").value = "";
  if (!file) return;
  $("film-like").disabled = true;
  await tell(film, `/like?name=${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
  $("film-like").disabled = false;
}

function play() {
  video().paused ? video().play().catch(() => {}) : video().pause();
}

function watchVideo() {
  const each = () => {
    paint();
    video().requestVideoFrameCallback(each);
  };
  if (video().requestVideoFrameCallback) video().requestVideoFrameCallback(each);
  else setInterval(() => video().paused || paint(), 40); // older browsers
  for (const name of ["loadeddata", "seeked", "timeupdate"]) video().addEventListener(name, paint);
  const showState = () => {
    $("film-play").ariaLabel = video().paused ? "Play" : "Pause";
    $("film-play").classList.toggle("is-playing", !video().paused);
    $("film-sound").textContent = video().muted ? "Sound off" : "Sound on";
    $("film-seek").max = video().duration || 0;
    if (!$("film-seek").matches(":active")) $("film-seek").value = video().currentTime;
    $("film-time").textContent = `${clock(video().currentTime)} of ${clock(video().duration || 0)}`;
  };
  for (const name of ["play", "pause", "ended", "timeupdate", "seeked", "loadedmetadata", "volumechange"]) video().addEventListener(name, showState);
}

/** The film as it was is shown while the button, or the key B, is held. */
function holdBefore() {
  const hold = (is_held) => {
    if (held === is_held) return;
    held = is_held;
    paint();
  };
  const button = $("film-hold");
  button.onpointerdown = () => hold(true);
  button.onpointerup = button.onpointercancel = button.onpointerleave = button.onblur = () => hold(false);
  button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && hold(true);
  button.onkeyup = () => hold(false);
  button.oncontextmenu = (event) => event.preventDefault();
  $("cinema").addEventListener("keydown", (event) => event.key.toLowerCase() === "b" && !event.ctrlKey && !event.metaKey && hold(true));
  $("cinema").addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && hold(false));
}

/** The divider is dragged on the picture, too. */
function dragSplit() {
  const canvas = $("film-picture");
  const move = ({ clientX }) => {
    const { left, width } = canvas.getBoundingClientRect();
    $("film-split").value = (100 * (clientX - left)) / width;
    paint();
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(event);
  };
  canvas.onpointermove = (event) => canvas.hasPointerCapture(event.pointerId) && move(event);
}

function onKey(event) {
  if (event.target !== $("screen")) return;
  const isVideo = !$("film-player").hidden, way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === " " && isVideo) play();
  else if (way && isVideo) video().currentTime += way * STEP;
  else if (way) turnTo(moment + way);
  else return;
  event.preventDefault();
}
