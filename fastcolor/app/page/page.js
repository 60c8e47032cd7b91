// The page's two parts, and which of them is open.

import { $, element, notice, ask } from "/common.js";
import { openCinema, startCinema } from "/cinema.js";
import { takeFiles } from "/drop.js";
import { addFilms, isFilm, startFilms, startReel } from "/films.js";
import { startGrid } from "/grid.js";
import { startHints } from "/hints.js";
import { add, colorAnew, photos, startPhotos } from "/photos.js";
import { startSettings } from "/settings.js";
import { startTraining } from "/training.js";
import { openView, startView } from "/view.js";

const training = startTraining();

function turnTo() {
  const part = location.hash === "#training" ? "training" : "colour";
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== `${part}-part`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${part}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  training.watch(part === "training");
}

async function startColouring() {
  const setup = await ask("/setup");
  startSettings(setup, (name) => colorAnew(photos, name));
  startGrid(openView);
  startView(setup);
  startHints();
  startReel(openCinema);
  startCinema();
  takeFiles(setup, add, addFilms, isFilm);
  describe(setup);
  await startFilms(setup);
  await startPhotos(setup);
}

function describe({ formats, films, most_bytes, kept_seconds, examples }) {
  const usual = ["JPEG", "PNG", "TIFF", "WebP", "HEIC", "AVIF", "PSD"].filter((name) => formats[name]);
  $("limits").textContent = `${usual.join(", ")} and others, up to ${most_bytes / 1e6} MB each; films (MP4, MOV, MKV, AVI and others), up to ${films.most_bytes / 1e9} GB; folders and zip files too; or paste one`;
  $("kept").textContent =
    "Photos stay on the machine that serves this page. They are deleted there when you remove them, " +
    `soon after you close the page, or when you leave it for ${kept_seconds / 60} minutes. ` +
    `The work on a film goes on when you close the page; a film is kept for ${films.kept_hours} hours after you last looked.`;
  examples.forEach((source, n) => {
    const name = `drawing-${n + 1}.jpg`;
    const button = element("button", { type: "button", ariaLabel: `Colour ${name}` }, element("img", { src: source, alt: "" }));
    button.onclick = async () => add([new File([await (await fetch(source)).blob()], name)], new Map());
    $("examples").lastElementChild.append(button);
  });
}

addEventListener("hashchange", turnTo);
turnTo();
startColouring().catch((error) => notice(error.message));
