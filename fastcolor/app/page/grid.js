// All photos as small pictures, what can be done with each, and with all.

import { $, element, percent } from "/common.js";
import { canTryAgain, download, downloadAll, drop, isDone, isSettled, photos, putBack, settingsOf, takeOff, tryAgain, watch } from "/photos.js";

const SIDE = 480; // pixels of a small picture: sharp at twice as many as its CSS pixels
const UNDO_MS = 10_000;

let openPhoto, undone;

/** `open(photo)` shows a photo large. */
export function startGrid(open) {
  openPhoto = open;
  watch(draw);
  $("remove-all").onclick = () => remove([...photos]);
  $("download-all").onclick = async () => {
    const button = $("download-all");
    button.disabled = true;
    await downloadAll((made, count) => (button.textContent = `Making ${Math.min(made + 1, count)} of ${count} …`));
    button.disabled = false;
    button.textContent = "Download all";
  };
}

function draw(photo) {
  if (photo?.card) drawCard(photo);
  else if (!photo) {
    for (const each of photos) if (!each.card) makeCard(each);
    const cards = photos.map((each) => each.card);
    if (cards.some((card, n) => $("photos").children[n] !== card) || $("photos").children.length !== cards.length) $("photos").replaceChildren(...cards);
    photos.forEach(drawCard);
  }
  document.body.classList.toggle("has-photos", photos.length > 0);
  $("all").hidden = photos.length < 2;
  const [done, failed] = [photos.filter(isDone).length, photos.filter((each) => each.state === "failed").length];
  const count = `${done} of ${photos.length} coloured${failed ? `, ${failed} failed` : ""}`;
  if ($("count").textContent !== count) $("count").textContent = count;
  $("download-all").hidden = done < 2;
}

function makeCard(photo) {
  const card = (photo.card = $("photo").content.firstElementChild.cloneNode(true));
  const part = (name) => card.querySelector(`.${name}`);
  part("name").textContent = part("open").title = photo.name;
  part("open").ariaLabel = `Open ${photo.name}`;
  part("remove").ariaLabel = `Remove ${photo.name}`;
  part("open").onclick = () => openPhoto(photo);
  part("remove").onclick = () => remove([photo]);
  part("again").onclick = () => tryAgain(photo);
  part("download").onclick = () => download(photo);
}

function drawCard(photo) {
  const { card, id, state, version } = photo;
  const part = (name) => card.querySelector(`.${name}`);
  const text = sentenceOf(photo);
  if (part("state").textContent !== text) part("state").textContent = text;
  card.classList.toggle("failed", state === "failed");
  card.querySelector("progress").hidden = isSettled(photo);
  if (state === "sending") card.querySelector("progress").value = 100 * photo.share;
  else card.querySelector("progress").removeAttribute("value");
  part("again").hidden = !canTryAgain(photo);
  const shown = id && version ? `${id} ${version}` : "";
  part("open").disabled = part("download").hidden = !shown;
  part("after").style.opacity = settingsOf(photo).strength;
  if (card.notes !== photo.notes) part("notes").replaceChildren(...photo.notes.map((note) => element("li", { textContent: note })));
  card.notes = photo.notes;
  part("own").hidden = !photo.hints.length && !Object.keys(photo.own).length;
  if (shown && card.shown !== shown) {
    if (!card.shown) part("before").src = `/photos/${id}/before?side=${SIDE}`;
    part("after").src = `/photos/${id}/after?side=${SIDE}&v=${version}`;
    card.shown = shown;
  }
}

export function sentenceOf(photo) {
  const { state, sentence, name, ahead, shape, share } = photo;
  switch (state) {
    case "new": return "Waiting to be sent";
    case "sending": return share < 1 ? `Sending, ${percent(share)}` : "Sent";
    case "waiting": return ahead ? `Waiting for ${ahead} other ${ahead > 1 ? "photos" : "photo"}` : "Next in line";
    case "reading": return "Reading …";
    case "colouring": return "Colouring …";
    case "writing": return "Writing …";
    case "done": return photo.refused ?? `${shape[0].toLocaleString("en")} × ${shape[1].toLocaleString("en")} pixels`;
    default: return sentence.startsWith(`${name}: `) ? `This file ${sentence.slice(name.length + 2)}.` : sentence;
  }
}

/** Remove photos; for some seconds that can be undone. */
function remove(which) {
  forget();
  const places = takeOff(which);
  const what = which.length === 1 ? which[0].name : `${which.length} photos`;
  const back = element("button", { type: "button", textContent: "Undo" });
  $("toast").replaceChildren(element("span", { textContent: `Removed ${what}` }), back);
  $("toast").hidden = false;
  undone = { places, timer: setTimeout(forget, UNDO_MS) };
  back.onclick = () => {
    clearTimeout(undone.timer);
    undone = null;
    $("toast").hidden = true;
    putBack(places);
  };
}

/** The photos that were removed last are gone for good. */
function forget() {
  if (!undone) return;
  clearTimeout(undone.timer);
  for (const [, photo] of undone.places) drop(photo.id);
  undone = null;
  $("toast").hidden = true;
}
