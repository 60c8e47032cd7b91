// The files in a zip archive, each unpacked only when it is its turn. APPNOTE.TXT of PKWARE, 4.3 and 4.4.

const END = 0x06054b50, ENTRY = 0x02014b50; // signatures
const LONGEST_END = 65_557; // bytes: the end record, with the longest comment
const STORED = 0, DEFLATED = 8, ENCRYPTED = 1;

/** The files of an archive for which `wanted(name)`, as File objects. Throws an Error with a sentence. */
export async function unpacked(archive, wanted, mostBytes) {
  const files = [];
  for (const entry of await entries(archive)) {
    const name = entry.name.split("/").pop();
    if (!wanted(entry.name)) continue;
    if (entry.flags & ENCRYPTED) throw new Error(`${archive.name} has a password: unpack it first.`);
    if (![STORED, DEFLATED].includes(entry.method)) throw new Error(`${archive.name} is packed in a rare way: unpack it first.`);
    if (entry.size > mostBytes) throw new Error(`${name} in ${archive.name} is larger than ${mostBytes / 1e6} MB.`);
    files.push(new File([await content(archive, entry)], name));
  }
  return files;
}

async function entries(archive) {
  const last = await view(archive, Math.max(0, archive.size - LONGEST_END), archive.size);
  let at = last.byteLength - 22;
  while (at >= 0 && last.getUint32(at, true) !== END) at--;
  if (at < 0) throw new Error(`${archive.name} is damaged, or no zip file.`);
  const [count, size, start] = [last.getUint16(at + 10, true), last.getUint32(at + 12, true), last.getUint32(at + 16, true)];
  if (start === 0xffffffff || count === 0xffff) throw new Error(`${archive.name} is larger than 4 GB: unpack it first.`);
  const directory = await view(archive, start, start + size);
  const found = [];
  for (let place = 0; found.length < count && place + 46 <= directory.byteLength && directory.getUint32(place, true) === ENTRY; ) {
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.getUint16(place + field, true));
    found.push({
      flags: directory.getUint16(place + 8, true),
      method: directory.getUint16(place + 10, true),
      packed: directory.getUint32(place + 20, true),
      size: directory.getUint32(place + 24, true),
      at: directory.getUint32(place + 42, true),
      name: new TextDecoder().decode(new Uint8Array(directory.buffer, place + 46, name)),
    });
    place += 46 + name + extra + comment;
  }
  return found;
}

async function content(archive, { at, packed, size, method }) {
  const head = await view(archive, at, at + 30);
  const start = at + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const data = archive.slice(start, start + packed);
  if (method === STORED) return data;
  const reader = data.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const pieces = [];
  for (let total = 0, piece; !(piece = await reader.read()).done; pieces.push(piece.value)) {
    total += piece.value.length;
    if (total > size) throw new Error(`${archive.name} is damaged.`); // or a bomb: more than it says of itself
  }
  return new Blob(pieces);
}

const view = async (file, start, end) => new DataView(await file.slice(start, end).arrayBuffer());
