// Where photos and films come from: chosen, pasted, or dropped, as files, folders and zip archives.

import { $, notice } from "/common.js";
import { unpacked } from "/zip.js";

const POINTS = ".hints.json";

/**
 * Calls `add(files, points)` with photos, and a Map of their names to the texts of points that were handed in beside them;
 * and `addFilms(files, points)` with those whose names are films'.
 */
export function takeFiles({ formats, most_bytes, films }, add, addFilms, isFilm) {
  const suffixes = Object.values(formats).flat();
  const isPhoto = (name) => suffixes.some((suffix) => name.toLowerCase().endsWith(suffix)) && !hides(name);
  const isWanted = (name) => isPhoto(name) || (isFilm(name) && !hides(name)) || name.endsWith(POINTS);
  const take = (files, inside = []) => sort([...files, ...inside]).catch((error) => notice(error.message));

  async function sort(files) {
    notice();
    const photos = [], moving = [], points = new Map();
    for (const file of files) {
      if (/\.zip$/i.test(file.name)) {
        const found = await unpacked(file, isWanted, most_bytes);
        if (!found.length) notice(`There are no photos or films in ${file.name}.`);
        files.push(...found); // this loop comes to them
      } else if (file.name.endsWith(POINTS)) points.set(file.name.slice(0, -POINTS.length), await file.text());
      else (isFilm(file.name) ? moving : photos).push(file);
    }
    if (moving.length) addFilms(moving, points);
    if (photos.length) add(photos, points);
  }

  $("choose").onclick = () => $("files").click();
  $("files").accept = ["image/*", "video/*", ".zip", POINTS.slice(6), ...suffixes, ...films.suffixes].join(",");
  $("files").onchange = () => {
    take([...$("files").files]);
    $("files").value = "";
  };
  addEventListener("paste", (event) => event.clipboardData.files.length && take([...event.clipboardData.files]));
  takeDrops(take, isWanted);
}

const hides = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");

function takeDrops(take, isWanted) {
  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const over = (change) => $("drop").classList.toggle("over", (depth += change) > 0);
  addEventListener("dragenter", (event) => holdsFiles(event) && over(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(-depth);
    const files = [], folders = []; // to be read now: they are gone when this event has ended
    for (const item of event.dataTransfer.items) {
      const entry = item.kind === "file" && item.webkitGetAsEntry?.();
      if (entry?.isDirectory) folders.push(entry);
      else if (item.kind === "file") files.push(item.getAsFile());
    }
    const inside = (await Promise.all(folders.map(filesIn))).flat().filter((file) => isWanted(file.name));
    if (folders.length && !inside.length && !files.length) notice(`There are no photos or films in ${folders[0].name}.`);
    take(files, inside);
  });
}

/** All files in a folder and in its folders, by name. */
async function filesIn(folder) {
  const reader = folder.createReader(), found = [];
  for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length; ) found.push(...some);
  found.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const files = found.map((entry) =>
    entry.isDirectory ? filesIn(entry) : new Promise((resolve, reject) => entry.file(resolve, reject)).then((file) => [file]),
  );
  return (await Promise.all(files)).flat();
}
