"""A folder at an address: s3://bucket/scans, sftp://host/scans, https://host/scans/. fsspec speaks to the servers.

Nothing here says a password or a key: addresses are shown without them.
"""

import errno
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from fastcolor.errors import UserError, one_line
from fastcolor.files import UNFINISHED, is_inside

WAITS = (0.5, 2.0, 8.0)
"""Seconds before an operation is tried again, where the connection may be to blame: four tries in all."""
PATIENCE = 60
"""Seconds without a byte after which a connection counts as lost."""
WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "memory")
"""Where a single put is there whole or not at all; elsewhere a file gets its name when it is complete. Here `find`
lists all below a folder at once, too."""
ONLY_READ = ("http", "https")
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of this machine's disk."""
CLIENTS = ("aiohttp", "paramiko", "botocore", "aiobotocore", "s3fs", "gcsfs", "google", "fsspec", "socket", "ssl")
"""Packages whose errors are about the connection, whatever class they have."""


MISSING = "it does not exist"


class Entry(NamedTuple):
    """A file in a listing."""

    place: str  # where the file system has it
    size: int | None = None  # bytes; None where the server does not tell
    version: str = ""  # time of change or a checksum, whatever the server tells


class Unreachable(UserError):
    """Something at an address can't be read or written. `reason` is the sentence without the address, `is_missing` says
    whether that is because it does not exist.
    """

    def __init__(self, where: str, reason: str):
        super().__init__(f"{where} {reason}")
        self.reason, self.is_missing = reason, reason.endswith(MISSING)


def is_address(text: str) -> bool:
    """Whether this is an address, not a path on this machine."""
    return bool(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text))


def shown(address: str) -> str:
    """An address without user, password and signature, as messages and reports may have it."""
    if not is_address(address):
        return address
    scheme, _, rest = re.sub(r"(?<=://)[^/@]*@", "", address).partition("://")
    address = f"{scheme.lower()}://{rest}"
    return address.partition("?")[0] if address.startswith(ONLY_READ) else address


def store_here(folder: Path) -> "Store":
    """A folder of this machine as a store."""
    return Store(f"file://{Path(os.path.abspath(folder)).as_posix()}", name=str(folder))


class Store:
    """The files below an address. Several threads may use it at the same time: each has its own connection.

    Attributes:
      address (str): As it was given, which may hold a password.
      name (str): For messages, without one.
      retried (int): How often something was tried again.
      unreadable (list of str): Folders that may not be read, from the last listing.

    Raises UserError for an address that means nothing, and where a package for it is missing.
    """

    def __init__(self, address: str, name: str | None = None):
        self.address, self.name, self.retried, self.unreadable = address, name or shown(address).rstrip("/"), 0, []
        self.scheme = address.partition("://")[0].lower()
        self.is_read_only = self.scheme in ONLY_READ
        self._connections = threading.local()
        try:
            from fsspec.core import get_filesystem_class

            get_filesystem_class(self.scheme)
        except (ImportError, ValueError) as error:
            if isinstance(error, ValueError):
                raise UserError(f"{self.name}: addresses that begin with {self.scheme}:// are unknown") from None
            what = "what reads and writes there is not installed"
            raise UserError(f"{self.name}: {what}: run `pip install 'fastcolor[remote]'`") from None

    def listing(self) -> dict[str, Entry]:
        """All files below the address by their names relative to it; of a file, that alone, under an empty name.

        Raises Unreachable if it is missing or may not be read; folders below it of which that is true are noted.
        """
        self.unreadable = []
        root = self._root()
        if self._is_file(root):
            info = {} if self.is_read_only else self._try("be read", lambda files: files.info(root))
            return {"": _entry(root, info)}
        found = {}
        for info in self._infos(root):
            name = self._name(info["name"], root)
            if is_inside(name):  # a server may say anything
                found[name] = _entry(info["name"], info)
        return found

    def fetch(self, entry: Entry, into: Path) -> None:
        """Copy a file to a path on this machine. Raises Unreachable."""
        into.parent.mkdir(parents=True, exist_ok=True)

        def get(files) -> None:
            files.get_file(entry.place, str(into))
            if entry.size is not None and (came := into.stat().st_size) != entry.size:
                raise ConnectionError(f"{came:,} bytes came, not {entry.size:,} as listed")

        self._try("be read", get, shown(entry.place))

    def put(self, made: Path, name: str) -> None:
        """Copy a file from this machine; it appears under `name` whole or not at all. Raises Unreachable."""
        target = f"{self._root()}/{name}"
        folder, _, last = target.rpartition("/")

        def put(files) -> None:
            if self.scheme in WHOLE:
                files.put_file(str(made), target)
                return
            part = f"{folder}/{UNFINISHED}{uuid4().hex}-{last[-40:]}"
            files.makedirs(folder, exist_ok=True)
            try:
                files.put_file(str(made), part)
                files.mv(part, target)
            except BaseException:
                _forget(files, part)
                raise

        self._try("be written", put, f"{self.name}/{name}")

    def read(self, entry: Entry) -> bytes:
        """The content of a small file."""
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(entry, Path(folder, "file"))
            return Path(folder, "file").read_bytes()

    def write(self, content: bytes, name: str) -> None:
        """Write a small file, whole or not at all."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "file").write_bytes(content)
            self.put(Path(folder, "file"), name)

    def delete(self, entry: Entry) -> None:
        """Delete a file."""
        self._try("be deleted", lambda files: files.rm_file(entry.place), entry.place)

    def _files(self) -> "fsspec.AbstractFileSystem":  # noqa: F821 (see `__init__`)
        """This thread's connection: paramiko's can't be shared."""
        if not hasattr(self._connections, "files"):
            from fsspec.core import url_to_fs

            options = _options(self.scheme)
            files, self._connections.root = url_to_fs(self.address, skip_instance_cache=True, **options)
            if hasattr(files, "ftp"):
                files.ftp.get_channel().settimeout(PATIENCE)
            self._connections.files = files
        return self._connections.files

    def _root(self) -> str:
        self._try("be reached", lambda files: None)
        return self._connections.root.rstrip("/")

    def _is_file(self, root: str) -> bool:
        if self.is_read_only:  # a server of pages has no folders: /scans/ and /scans are lists of links
            path = urlsplit(root).path
            return not self.address.endswith("/") and "." in path.rpartition("/")[2]
        return self._try("be read", lambda files: files.isfile(root))

    def _infos(self, root: str) -> Iterator[dict]:
        if self.scheme in WHOLE and self.scheme != "memory":
            yield from self._try("be listed", lambda files: files.find(root, detail=True)).values()
            return
        folders = [root]
        while folders:
            # not fsspec's `find`: it takes a folder for empty whose listing failed, so that photos would be lost
            folder = folders.pop()
            try:
                infos = self._try("be listed", lambda files, at=folder: files.ls(at, detail=True), shown(folder))
            except Unreachable:
                if folder == root:
                    raise
                self.unreadable.append(shown(folder))
                continue
            for info in infos:
                if info["type"] == "directory" and info["name"].rstrip("/") != folder.rstrip("/"):
                    folders.append(info["name"] if self.is_read_only else info["name"].rstrip("/"))
                elif info["type"] == "link":
                    info = self._followed(info)
                if info["type"] == "file":
                    yield info

    def _followed(self, link: dict) -> dict:
        """What a link leads to; links to folders are not followed, as on this machine."""
        try:
            return {**self._try("be read", lambda files: files.info(link["name"])), "name": link["name"]}
        except Unreachable:
            return link

    def _name(self, place: str, root: str) -> str:
        name = place.removeprefix(root).lstrip("/")
        return unquote(name) if self.is_read_only else name

    def _try(self, what: str, act: Callable, where: str | None = None):
        """`act` of this thread's file system, and again where the connection may have failed. Raises Unreachable."""
        where = where or self.name
        for wait in (*WAITS, None):
            try:
                return act(self._files())
            except Exception as error:
                reason = _final(error)
                if reason is None and not _is_of_connection(error) or getattr(error, "errno", None) in FULL:
                    raise
                if reason or wait is None:
                    reason = reason or f"tried {len(WAITS) + 1} times ({self._safe(error)})"
                    raise Unreachable(where, f"can't {what}: {reason}") from None
                self.retried += 1
                self._connections.__dict__.pop("files", None)
                time.sleep(wait)

    def _safe(self, error: Exception) -> str:
        """What an error says, without what the address keeps secret."""
        text = str(error) or type(error).__name__
        parts = urlsplit(self.address)
        for secret in filter(None, (parts.password, unquote(parts.password or ""), parts.query)):
            text = text.replace(secret, "...")
        return one_line(re.sub(r"\?\S*", "", text))


def _entry(place: str, info: dict) -> Entry:
    keys = ("ETag", "etag", "LastModified", "mtime", "updated", "last_modified", "created")
    version = next((str(info[key]) for key in keys if info.get(key) is not None), "")
    return Entry(place, info.get("size"), version.strip('"'))


def _options(scheme: str) -> dict:
    """What a file system is told: to give up a connection that is silent, and to trust only servers that are known."""
    if scheme in ("sftp", "ssh"):
        return {"timeout": PATIENCE, "host_key_policy": _known_hosts()}
    options = {"use_listings_cache": False}
    if scheme in ONLY_READ:
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
        return {**options, "client_kwargs": {"timeout": timeout}}
    if scheme in ("s3", "s3a"):
        return {**options, "config_kwargs": {"connect_timeout": PATIENCE, "read_timeout": PATIENCE}}
    return options


def _known_hosts():
    """paramiko's policy for servers: those in ~/.ssh/known_hosts. fsspec by itself would trust any."""
    import paramiko

    class KnownHosts(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client, hostname, key):
            known = paramiko.HostKeys()
            if os.path.exists(file := os.path.expanduser("~/.ssh/known_hosts")):
                known.load(file)
            if not known.check(hostname, key):
                raise PermissionError(f"the key of {hostname} is not in ~/.ssh/known_hosts: connect with ssh once")

    return KnownHosts()


def _final(error: Exception) -> str | None:
    """Why trying again is of no use, in words; None where it may help."""
    name, status = type(error).__name__, getattr(error, "status", None)
    if isinstance(error, PermissionError) and "known_hosts" in str(error):
        return str(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return MISSING
    if "Credential" in name or "Token" in name or "DefaultCredentials" in name:
        return "no credentials were found that are valid for it"
    if isinstance(error, PermissionError) or "authentication" in f"{name} {error}".lower() or status in (401, 403):
        return "permission is denied: check the credentials and their rights"
    if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
        return f"there is a file where a folder should be, or the other way round ({one_line(error)})"
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return f"the server answers {status}"
    return None


def _is_of_connection(error: Exception) -> bool:
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError | EOFError) or package in CLIENTS


def _forget(files, part: str) -> None:
    """Delete a file that could not be completed, if that can be done."""
    with suppress(Exception):  # the connection is lost: the file's name says what it is
        files.rm_file(part)
