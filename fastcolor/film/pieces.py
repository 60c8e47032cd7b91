"""Finished pieces of a film, in a hidden folder beside it: what a stopped run goes on from."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from fastcolor.errors import UserError
from fastcolor.files import UNFINISHED, write_whole
from fastcolor.film.follow import Key
from fastcolor.film.write import Encoded

SETTINGS = "settings.json"


class Pieces:
    """The pieces of one film. A context: meanwhile no other process may work on it.

    Pieces that were made with other settings, or of another file, are deleted.
    """

    def __init__(self, target: Path, settings: dict):
        self.folder, self._settings = target.with_name(f"{UNFINISHED}{target.name}"), settings
        self._lock = FileLock(self.folder / ".lock")

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another process colours into {self.folder}: wait until it has ended") from None
        wanted, path = json.dumps(self._settings, sort_keys=True), self.folder / SETTINGS
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            self.clear()
            with write_whole(path, lasting=True) as temporary:
                temporary.write_text(wanted, encoding="utf-8")
        return self

    def __exit__(self, *stopped) -> None:
        self._lock.release()
        if self.folder.is_dir() and not self.paths():  # nothing that could be gone on with
            self.remove()

    def clear(self) -> None:
        """Delete all pieces."""
        for path in self.folder.glob("*.npz"):
            path.unlink()

    def remove(self) -> None:
        """Delete the folder: the film is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, encoded: list[Encoded], frames: int, pts: int, key: Key) -> None:
        """Keep a piece of so many frames, that ends with the key frame at the time `pts`."""
        table = np.array([(*each[:3], each.is_key, len(each.data)) for each in encoded], np.int64).reshape(-1, 5)
        data = np.frombuffer(b"".join(each.data for each in encoded), np.uint8)
        parts = {field.name: getattr(key, field.name) for field in fields(Key)}
        with write_whole(self._path(len(self.paths())), lasting=True) as temporary, open(temporary, "wb") as file:
            np.savez(file, table=table, data=data, end=np.array([frames, pts], np.int64), **parts)

    def paths(self) -> list[Path]:
        """The pieces' files, in their order."""
        count = 0
        while self._path(count).is_file():
            count += 1
        return [self._path(number) for number in range(count)]

    def last(self) -> tuple[int, int, Key] | None:
        """How many frames are done, the time of the last, and its colours; None for none. Drops broken pieces."""
        done, found = 0, None
        for path in self.paths():
            try:
                with np.load(path, allow_pickle=False) as piece:
                    frames, pts = (int(value) for value in piece["end"])
                    done += frames
                    found = done, pts, Key(**{field.name: piece[field.name] for field in fields(Key)})
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile):  # a damaged disk, or somebody else's file
                for later in self.paths()[int(path.stem) :]:
                    later.unlink()
                break
        return found

    def encoded(self) -> Iterator[Encoded]:
        """All that has been encoded, in the order of decoding."""
        for path in self.paths():
            with np.load(path, allow_pickle=False) as piece:
                table, data, at = piece["table"], piece["data"], 0
            for pts, dts, duration, is_key, size in table.tolist():
                yield Encoded(pts, dts, duration, bool(is_key), data[at : at + size].tobytes())
                at += size

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"
