"""Paths on this machine that stand for files at addresses, so that what works on paths works on those too.

far = Far()
folder = far.stand_in("s3://bucket/scans")         # an empty folder below a temporary one
for name in far.listing(folder): ...                  # its files: none of them is here yet
far.fetch(folder / name)                           # now it is
far.deliver(results / name)                        # written here, copied to where it belongs, whole
far.forget(folder / name)
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote

from fastcolor.errors import UserError
from fastcolor.remote.store import MISSING, Entry, Store, Unreachable, is_address


class Ticket(NamedTuple):
    """What another process needs to find a file: an absolute path, or an address, a name below it, and its entry."""

    address: str | None
    name: str
    entry: Entry | None = None


class Far:
    """Folders at addresses, and what stands for their files here, in a temporary folder.

    Attributes:
      entries (dict): What is known of a file at an address, by the path that stands for it, once it was listed.
    """

    def __init__(self):
        self._folder: TemporaryDirectory | None = None  # most runs have no addresses
        self._top: Path | None = None
        self._stores: list[Store] = []
        self.entries: dict[Path, Entry] = {}

    def close(self) -> None:
        """Delete what is here."""
        if self._folder:
            self._folder.cleanup()

    def stand_in(self, address: str) -> Path:
        """The folder that stands for an address; its name is the address's last part. Raises UserError."""
        if address.lower().startswith(("file://", "local://")):
            raise UserError(f"{address}: give the path alone, without what stands before it")
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="fastcolor-")
            self._top = Path(os.path.realpath(self._folder.name))
        numbers = [number for number, store in enumerate(self._stores) if store.address == address]
        if not numbers:
            self._stores.append(Store(address))
        number = numbers[0] if numbers else len(self._stores) - 1
        last = unquote(self._stores[number].name.rpartition("/")[2])
        return self._top / str(number) / (last if last not in ("", ".", "..") else "root")

    def path(self, folder: str | Path) -> Path:
        """The path of a folder here, or what stands for an address."""
        return self.stand_in(str(folder)) if is_address(str(folder)) else Path(folder)

    def split(self, path: Path) -> tuple[Store, str] | None:
        """The store of a path, and the name there; None for a path that stands for nothing."""
        if self._top is None:
            return None
        try:
            number, _, *rest = path.relative_to(self._top).parts
        except ValueError:
            return None
        return self._stores[int(number)], "/".join(rest)

    def show(self, path: Path) -> Path | str:
        """What messages call a path: the address that it stands for."""
        found = self.split(path)
        return f"{found[0].name}/{found[1]}".rstrip("/") if found else path

    def listing(self, folder: Path) -> list[str]:
        """The names of all files below an address. Raises Unreachable."""
        store, _ = self.split(folder)
        entries = store.listing()
        self.entries.update({folder / name: entry for name, entry in entries.items()})
        return list(entries)

    def there(self, folder: Path) -> set[str]:
        """The names of all files below an address, of which there may be none; none for a path without an address."""
        try:
            return set(self.listing(folder)) if self.split(folder) else set()
        except Unreachable as error:
            if not error.is_missing:
                raise
            return set()

    def unreadable(self, folder: Path) -> list[str]:
        """The folders of an address that could not be read when it was listed."""
        return self.split(folder)[0].unreadable

    def below(self, inner: Path, outer: Path) -> str | None:
        """The way from one address to another below it, "" if they are the same; None if it lies elsewhere."""
        if not self.split(inner) or not self.split(outer):
            return None
        inner, outer = str(self.show(inner)), str(self.show(outer))
        return inner.removeprefix(outer).lstrip("/") if f"{inner}/".startswith(f"{outer}/") else None

    def fetch(self, path: Path) -> None:
        """Copy a file here. Raises Unreachable. A path that stands for nothing is here already."""
        if found := self.split(path):
            if path not in self.entries:
                raise Unreachable(str(self.show(path)), f"can't be read: {MISSING}")
            found[0].fetch(self.entries[path], path)

    def deliver(self, path: Path) -> None:
        """Copy a file that was made here to where it belongs, and forget it. Raises Unreachable."""
        if found := self.split(path):
            found[0].put(path, found[1])
            path.unlink()

    def forget(self, path: Path) -> None:
        """Delete what was fetched or made here, if it stands for something elsewhere."""
        if self.split(path):
            path.unlink(missing_ok=True)

    def delete(self, path: Path) -> None:
        """Delete a file at an address, or here."""
        if found := self.split(path):
            found[0].delete(self.entries[path])
        else:
            path.unlink()

    def ticket(self, path: Path) -> Ticket:
        """What another process needs to find what a path stands for."""
        found = self.split(path)
        if found is None:
            return Ticket(None, os.path.abspath(path))
        return Ticket(found[0].address, found[1], self.entries.get(path))

    def follow(self, ticket: Ticket) -> Path:
        """The path that stands, in this process, for what a ticket names."""
        if ticket.address is None:
            return Path(ticket.name)
        path = self.stand_in(ticket.address) / ticket.name
        if ticket.entry:
            self.entries[path] = ticket.entry
        return path

    @property
    def retried(self) -> int:
        """How often something was tried again."""
        return sum(store.retried for store in self._stores)


HERE = Far()
"""For paths of this machine alone."""
