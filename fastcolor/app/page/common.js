// What all parts of the page need.

export const $ = (id) => document.getElementById(id);

/** A new element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The JSON that the server answers; if it refuses, an Error with its sentence and `status` is thrown. */
export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error("The server does not answer: is `fastcolor app` still running?"), { status: 0 });
  }
  const said = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(said?.sentence ?? `The server failed (${answer.status}).`), { status: answer.status });
  return said;
}

/** Say what is wrong with the whole page; without a sentence, nothing is. */
export function notice(sentence = "") {
  if ($("notice").textContent !== sentence) $("notice").textContent = sentence;
  $("notice").hidden = !sentence;
}

/** What this tab keeps when the page is loaded again; `fallback` if there is nothing. */
export function kept(name, fallback, where = sessionStorage) {
  try {
    return JSON.parse(where.getItem(name)) ?? fallback;
  } catch {
    return fallback; // nothing can be kept here, or something else has written it
  }
}

export function keep(name, value, where = sessionStorage) {
  try {
    where.setItem(name, JSON.stringify(value));
  } catch {
    // the browser keeps nothing, or it is full: the page works all the same
  }
}

export const percent = (share) => `${Math.round(100 * share)} %`;
