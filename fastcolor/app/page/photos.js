// Photos: handed in, followed through the queue, shown before and after, coloured again when the settings change.

import { $, ask, element, notice } from "/common.js";

const IN_FLIGHT = 4; // photos of this page that are being sent or wait at the server, so that other users' get a turn
const OFTEN = 400, SELDOM = 60_000; // ms between two requests: while something happens, and only to keep the photos

const photos = [];
let setup, timer;

export async function startPhotos() {
  $("choose").onclick = () => $("files").click();
  $("files").onchange = () => {
    add($("files").files);
    $("files").value = "";
  };
  $("remove-all").onclick = () => [...photos].forEach(remove);
  $("strength").oninput = showStrength;
  $("settings").onchange = colorAgain;
  $("settings").onsubmit = (event) => event.preventDefault();
  takeDrops();
  addEventListener("paste", (event) => add(event.clipboardData.files));
  addEventListener("pagehide", forget);
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // its photos are forgotten
  setup = await ask("/setup");
  showSetup();
}

function showSetup() {
  const { weights, sizes, examples, most_bytes, kept_seconds } = setup;
  $("limits").textContent = `JPEG, PNG, TIFF, WebP, HEIC, AVIF, PSD and others, up to ${most_bytes / 1e6} MB each; or paste one`;
  $("kept").textContent =
    "Photos stay on the machine that serves this page, and are deleted there when you remove them, " +
    `close the page, or leave it for ${kept_seconds / 60} minutes.`;
  $("weights").append(...weights.map(({ name }) => new Option(name === "bundled" ? "fastcolor’s own" : name, name)));
  const showSizes = () => {
    const { size, keeps_light } = weights.find(({ name }) => name === $("weights").value);
    const own = new Option(keeps_light ? `as trained (${size} px)` : "the photo’s own", "");
    const kept = $("size").value;
    $("size").replaceChildren(own, ...sizes.map((each) => new Option(`${each} px`, each)));
    $("size").value = kept;
  };
  $("weights").oninput = showSizes;
  showSizes();
  showStrength();
  examples.forEach((source, n) => {
    const name = `drawing-${n + 1}.jpg`;
    const button = element("button", { type: "button", ariaLabel: `Colour ${name}` }, element("img", { src: source, alt: "" }));
    button.onclick = async () => add([new File([await (await fetch(source)).blob()], name)]);
    $("examples").lastElementChild.append(button);
  });
}

function showStrength() {
  $("strength-shown").textContent = `${Math.round(100 * $("strength").value)} %`;
}

function takeDrops() {
  let depth = 0;
  const over = (change) => $("drop").classList.toggle("over", (depth += change) > 0);
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    notice(items.some(isFolder) ? "A folder can’t be dropped here: drop its photos, or use `fastcolor colorize`." : "");
    add(items.filter((item) => !isFolder(item)).map((item) => item.getAsFile()));
  });
}

const settings = () => ({
  weights: $("weights").value,
  size: Number($("size").value) || null,
  strength: Number($("strength").value),
});

// ---- the states of a photo: new, sending, then those that the server tells; one that failed can be tried again

function add(files) {
  if (!setup) return;
  for (const file of files) {
    const card = $("photo").content.firstElementChild.cloneNode(true);
    const photo = { file, card, state: "new" };
    const part = (name) => card.querySelector(`.${name}`);
    part("name").textContent = file.name;
    part("remove").onclick = () => remove(photo);
    part("again").onclick = () => begin(photo);
    part("beside").onclick = () => wantBeside(photo);
    part("remove").ariaLabel = `Remove ${file.name}`;
    part("divide").ariaLabel = `How far ${file.name} is shown as it was before`;
    slide(part("stack"), part("divide"));
    photos.push(photo);
    $("photos").append(card);
    if (file.size > setup.most_bytes) {
      fail(photo, `This file is larger than ${setup.most_bytes / 1e6} MB: make the photo smaller first.`);
    }
    draw(photo);
  }
  goOn();
}

const isSettled = (photo) => photo.state === "done" || photo.state === "failed";

/** Send as many photos as may be in flight, and ask for the state of the others. */
function goOn() {
  const under = photos.filter((photo) => photo.state !== "new" && !isSettled(photo)).length;
  photos.filter((photo) => photo.state === "new").slice(0, Math.max(0, IN_FLIGHT - under)).forEach(send);
  clearTimeout(timer);
  const waits = photos.some((photo) => photo.id && !isSettled(photo));
  if (photos.some((photo) => photo.id)) timer = setTimeout(follow, waits ? OFTEN : SELDOM);
  drawAll();
}

function begin(photo) {
  if (photo.id) colorOne(photo);
  else Object.assign(photo, { state: "new", sentence: null });
  draw(photo);
  goOn();
}

function send(photo) {
  const sent = settings();
  const query = new URLSearchParams({ name: photo.file.name, weights: sent.weights, size: sent.size ?? "", strength: sent.strength });
  const request = (photo.request = new XMLHttpRequest()); // fetch does not tell how much has been sent
  request.open("POST", `/photos?${query}`);
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => draw(Object.assign(photo, { share: loaded / total }));
  request.onload = () => {
    if (request.status !== 201) fail(photo, request.response?.sentence ?? `The server failed (${request.status}).`);
    else if (!photos.includes(photo)) drop(request.response.id);
    else {
      take(photo, request.response);
      if (JSON.stringify(sent) !== JSON.stringify(settings())) colorOne(photo); // changed meanwhile
    }
    goOn();
  };
  request.onerror = () => {
    fail(photo, "This file could not be sent: the server does not answer, or the file is gone.");
    goOn();
  };
  Object.assign(photo, { state: "sending", share: 0 });
  draw(photo);
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
function take(photo, said) {
  if (photo.ticket > said.ticket) return; // said before the latest order
  Object.assign(photo, said);
  if (photo.wantsBeside && photo.state === "done" && photo.beside) {
    photo.wantsBeside = false;
    element("a", { href: `/photos/${photo.id}/beside`, download: "" }).click();
  }
  draw(photo);
}

function forgotten(photo) {
  photo.id = null;
  fail(photo, "The server has deleted this photo, because this page was inactive for too long.");
}

function fail(photo, sentence) {
  Object.assign(photo, { state: "failed", sentence });
  draw(photo);
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

function colorOne(photo) {
  photo.wantsBeside = false;
  order(photo, settings());
}

function colorAgain() {
  photos.filter((photo) => photo.id).forEach(colorOne);
}

function wantBeside(photo) {
  photo.wantsBeside = true;
  if (photo.beside) take(photo, photo);
  else order(photo, { beside: true });
}

function remove(photo) {
  photo.request?.abort();
  if (photo.id) drop(photo.id);
  photos.splice(photos.indexOf(photo), 1);
  photo.card.remove();
  goOn();
}

const drop = (id) => ask(`/photos/${id}`, { method: "DELETE" }).catch(() => {}); // if this fails, the server deletes it later

function forget() {
  const ids = photos.map((photo) => photo.id).filter(Boolean);
  if (ids.length) navigator.sendBeacon("/photos/remove", ids.join(","));
}

// ---- what the page shows

function drawAll() {
  document.body.classList.toggle("has-photos", photos.length > 0);
  const done = photos.filter((photo) => photo.id && photo.version);
  $("all").hidden = photos.length < 2;
  $("count").textContent = `${photos.filter((photo) => photo.state === "done").length} of ${photos.length} photos coloured`;
  $("download-all").hidden = done.length < 2;
  $("download-all").href = `/zip?ids=${done.map((photo) => photo.id).join(",")}`;
}

function draw(photo) {
  const { card, id, state, version } = photo;
  const part = (name) => card.querySelector(`.${name}`);
  const text = sentenceOf(photo);
  if (part("state").textContent !== text) part("state").textContent = text;
  card.classList.toggle("failed", state === "failed");
  card.querySelector("progress").hidden = isSettled(photo);
  if (state === "sending") card.querySelector("progress").value = 100 * photo.share;
  else card.querySelector("progress").removeAttribute("value");
  part("again").hidden = state !== "failed" || photo.file.size > setup.most_bytes;
  const shown = id && version ? `${id} ${version}` : "";
  for (const name of ["frame", "download", "beside"]) part(name).hidden = !shown;
  if (shown && photo.shown !== shown) {
    photo.shown = shown;
    part("stack").style.setProperty("--shape", photo.shape[0] / photo.shape[1]);
    part("before").src = `/photos/${id}/before`;
    part("after").src = `/photos/${id}/after?${version}`;
    part("before").alt = `${photo.file.name}, before`;
    part("after").alt = `${photo.file.name}, coloured`;
    part("download").href = `/photos/${id}/result`;
    part("notes").replaceChildren(...photo.notes.map((note) => element("li", { textContent: note })));
  }
}

function sentenceOf(photo) {
  const { state, sentence, file, ahead, shape, share, wantsBeside } = photo;
  switch (state) {
    case "new": return "Waiting to be sent";
    case "sending": return share < 1 ? `Sending, ${Math.round(100 * share)} %` : "Sent";
    case "waiting": return ahead ? `Waiting for ${ahead} other ${ahead > 1 ? "photos" : "photo"}` : "Next in line";
    case "reading": return "Reading …";
    case "colouring": return "Colouring …";
    case "writing": return wantsBeside ? "Writing it side by side …" : "Writing …";
    case "done": return `${shape[0].toLocaleString("en")} × ${shape[1].toLocaleString("en")} pixels, in colour`;
    default: return sentence.startsWith(`${file.name}: `) ? `This file ${sentence.slice(file.name.length + 2)}.` : sentence;
  }
}

/** Divide before from after where the pointer is, or where the (unseen) range input is, which the keyboard moves. */
function slide(stack, divide) {
  const show = () => {
    stack.style.setProperty("--at", `${divide.value}%`);
    divide.setAttribute("aria-valuetext", `${divide.value} % as before, ${100 - divide.value} % coloured`);
  };
  const follow = (event) => {
    const { left, width } = stack.getBoundingClientRect();
    divide.value = (100 * (event.clientX - left)) / width;
    show();
  };
  stack.onpointerdown = (event) => {
    stack.setPointerCapture(event.pointerId);
    divide.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  };
  stack.onpointermove = (event) => event.buttons && follow(event);
  divide.oninput = show;
  show();
}
