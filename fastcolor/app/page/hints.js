// A photo's points of colour: changed, undone, redone, and told to the server, which answers with how the photo looks.
//
// A list of points is never changed, only replaced, so that earlier lists can be kept for undo.

import { ask } from "/common.js";
import { changed, take, watch } from "/photos.js";

/** Replace a photo's points. Steps of one gesture, such as a drag, have the same `gesture`, and are undone together. */
export function setHints(photo, hints, gesture = null) {
  if (gesture === null || photo.gesture !== gesture) {
    photo.past = [...photo.past, photo.hints];
    photo.future = [];
  }
  Object.assign(photo, { gesture, hints, refused: null });
  changed(photo);
}

export const undo = (photo) => step(photo, "past", "future");
export const redo = (photo) => step(photo, "future", "past");

function step(photo, from, to) {
  if (!photo[from].length) return;
  photo[to] = [...photo[to], photo.hints];
  photo.hints = photo[from].at(-1);
  photo[from] = photo[from].slice(0, -1);
  photo.gesture = photo.refused = null;
  changed(photo);
}

/** Tells the server about points as soon as there is a photo to show them on; of several changes only the last. */
export function startHints() {
  watch((photo) => photo && push(photo));
}

function push(photo) {
  if (photo.pushing || photo.refused || !photo.id || !photo.version || (photo.heard === photo.hints && !photo.given)) return;
  photo.pushing = send(photo).finally(() => {
    photo.pushing = null;
    changed(photo);
  });
}

async function send(photo) {
  const { hints: sent, given, heard: before } = photo;
  const body = given ?? JSON.stringify({ version: 1, hints: sent.map(plain) });
  photo.heard = sent;
  photo.given = null;
  try {
    const { hints, ...said } = await ask(`/photos/${photo.id}/hints`, { method: "PUT", body });
    if (given) photo.hints = photo.heard = hints.map(plain);
    photo.shown = hints; // with the colours that there are at the light of the place
    take(photo, said);
  } catch (error) {
    photo.refused = error.message;
    photo.heard = before; // told again after the next change, unless it is one that can't be, which is taken back
    if (error.status === 422 && !given) photo.hints = before;
  }
}

const plain = ({ x, y, color, radius }) => ({ x, y, color, radius });
