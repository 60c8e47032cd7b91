// The page's two parts, and which of them is open.

import { $, element, notice, ask } from "/common.js";
import { takeFiles } from "/drop.js";
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
  takeFiles(setup, add);
  describe(setup);
  await startPhotos(setup);
}

function describe({ formats, most_bytes, kept_seconds, examples }) {
  const usual = ["JPEG", "PNG", "TIFF", "WebP", "HEIC", "AVIF", "PSD"].filter((name) => formats[name]);
  $("limits").textContent = `${usual.join(", ")} and others, up to ${most_bytes / 1e6} MB each; folders and zip files too; or paste one`;
  $("kept").textContent =
    "Photos stay on the machine that serves this page. They are deleted there when you remove them, " +
    `soon after you close the page, or when you leave it for ${kept_seconds / 60} minutes.`;
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
