// The page's two parts, and which of them is open.

import { $, notice } from "/common.js";
import { startPhotos } from "/photos.js";
import { startTraining } from "/training.js";

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

addEventListener("hashchange", turnTo);
turnTo();
startPhotos().catch((error) => notice(error.message));
