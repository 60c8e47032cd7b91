"""A zip file of files, made while it is sent."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 20  # bytes sent at a time


def zipped(files: list[tuple[str, Path]]) -> Iterator[bytes]:
    """A zip file of files under other names, piece by piece; not compressed, as photos already are."""
    through = _Through()
    with zipfile.ZipFile(through, "w") as archive:
        for name, path in files:
            with archive.open(name, "w") as target, open(path, "rb") as source:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield through.taken()
    yield through.taken()


class _Through:
    """A file that can only be written; what was written is taken out again at once."""

    def __init__(self):
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        whole = b"".join(self.pieces)
        self.pieces.clear()
        return whole
