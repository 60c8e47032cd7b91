"""Photos at an address, copied to this machine for those who read them again and again."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from fastcolor.files import in_order, progress_bar, write_whole
from fastcolor.photo.folders import photos_at
from fastcolor.remote.far import Far
from fastcolor.remote.store import is_address

AT_ONCE = 8  # files on their way


def fetched(folder: str | None, cache: Path) -> str | None:
    """A folder on this machine with the photos at an address; anything else is given back as it is.

    It lies below `cache`. Photos that are there already, and have not changed at the address, are not fetched again;
    those that are gone there are deleted. Raises UserError if one can't be fetched: the next try goes on from there.
    """
    if folder is None or not is_address(folder):
        return folder
    with closing(Far()) as far:
        top = far.stand_in(folder)
        photos = photos_at(top, far)
        key = hashlib.sha256(str(far.show(top)).encode()).hexdigest()[:12]
        place = cache / "fetched" / key / top.name
        note = place.parent / "versions.jsonl"
        known = dict(_read(note))
        versions = {photo: list(far.entries[top / photo])[1:] for photo in photos}
        waiting = [photo for photo in photos if known.get(photo) != versions[photo] or not (place / photo).exists()]
        for gone in {*known}.difference(photos):
            (place / gone).unlink(missing_ok=True)
        if waiting:
            print(f"fetching {len(waiting):,} of {len(photos):,} photos of {far.show(top)} to {place}, once")
        place.mkdir(parents=True, exist_ok=True)
        with open(note, "a", encoding="utf-8", buffering=1) as file:
            fetches = in_order(partial(_fetch, far, top, place), waiting, AT_ONCE, AT_ONCE)
            for photo in progress_bar(fetches, total=len(waiting), unit="photos"):
                print(json.dumps([photo.as_posix(), versions[photo]]), file=file)
    return str(place)


def _fetch(far: Far, top: Path, place: Path, photo: Path) -> Path:
    store, _ = far.split(top)
    with write_whole(place / photo) as temporary:
        store.fetch(far.entries[top / photo], temporary)
    return photo


def _read(note: Path) -> Iterator[tuple[Path, list]]:
    """What has been fetched: names and versions; the last line of a name counts."""
    for line in note.read_text(encoding="utf-8").splitlines() if note.exists() else ():
        try:
            name, version = json.loads(line)
            yield Path(name), version
        except (ValueError, TypeError):  # a run was stopped in the middle of a line
            continue
