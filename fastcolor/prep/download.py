"""Downloads public photo sets, checks and unpacks them, each into a folder of its own.

The archive is downloaded to `DST/ARCHIVE.partial`, so that a download can go on after any interruption, and deleted
when it is unpacked (COCO's sample alone has 3.2 GB). An archive that you put at `DST/ARCHIVE` yourself is used instead,
without a connection, and never deleted. The folder of a set appears whole or not at all; a set whose folder is there is
skipped.
"""

import errno
import gzip
import hashlib
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

import requests

from fastcolor.errors import UserError, one_line
from fastcolor.files import progress_bar
from fastcolor.photo.folders import find_photos

CHUNK = 2**16  # bytes; a broken connection loses no more than this
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of data
OF_ARCHIVES = (None, errno.EINVAL, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
"""`errno` of errors that a bad archive causes: BadGzipFile, a damaged offset in a zip file, impossible names."""
MOST_UNPACKED = 20  # times the archive's size; photos are compressed already, and unpack to about 1


@dataclass(frozen=True)
class Source:
    """Where an archive of photos is, and how to check it; what is None is not published, and not checked."""

    url: str
    size: int | None = None  # bytes
    head_md5: str | None = None  # of the first 2**20 bytes: fastai's list of checks has no more
    sha256: str | None = None  # of the whole file
    photos: str = "."  # folder of the photos within the set


# fastai's addresses and checks are repeated here (a test compares them), as importing fastai takes seconds.
SOURCES = {
    "pets": Source(  # Oxford-IIIT Pet; beside `images` there are segmentation maps, which are no photos
        "https://s3.amazonaws.com/fast-ai-imageclas/oxford-iiit-pet.tgz",
        size=811_706_944,
        head_md5="e4db5c768afd933bb91f5f594d7417a4",
        photos="images",
    ),
    "flowers": Source(  # Oxford 102
        "https://s3.amazonaws.com/fast-ai-imageclas/oxford-102-flowers.tgz",
        size=345_236_087,
        head_md5="5666e01c1311b4c67fcf20d2b3850a88",
    ),
    "coco_sample": Source(
        "https://s3.amazonaws.com/fast-ai-coco/coco_sample.tgz",
        size=3_245_877_008,
        head_md5="006cd55d633d94b36ecaf661467830ec",
    ),
    "coast": Source(  # Oliva and Torralba 2001: eight outdoor categories at 256 px; no checksum is published
        "https://people.csail.mit.edu/torralba/code/spatialenvelope/"
        "spatial_envelope_256x256_static_8outdoorcategories.zip"
    ),
    "monet2photo": Source(  # CycleGAN's; size and sha256 from tensorflow-datasets 4.9.10, url_checksums/cycle_gan.txt
        "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/monet2photo.zip",
        size=305_231_073,
        sha256="88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    ),
}


class BrokenArchive(Exception):
    """An archive that is not what it should be; the message continues a sentence that begins with its name."""


def download(
    name: str,  # pets, flowers, coco_sample, coast, monet2photo, or kaggle:OWNER/NAME
    dst: Path,  # folder in which the set gets a folder of its own
):
    """Download a public photo set into DST/NAME.

    The same command goes on after an interruption, and skips a set that is there.
    """
    kaggle = re.fullmatch(r"kaggle:([\w-]+/([\w-]+))", name)
    if not kaggle and name not in SOURCES:
        raise UserError(f"there is no photo set {name!r}: choose {', '.join(SOURCES)}, or kaggle:OWNER/NAME")
    target = dst / (kaggle[2] if kaggle else name)
    photos = target / ("." if kaggle else SOURCES[name].photos)
    if target.exists():
        try:
            print(f"{_summary(photos)}, already there")
        except UserError as error:
            raise UserError(f"{target} is in the way: move it elsewhere ({error})") from None
        return
    dst.mkdir(parents=True, exist_ok=True)
    if kaggle:
        copy_from_kaggle(kaggle[1], target)
    else:
        fetch_and_unpack(SOURCES[name], target)
    print(_summary(photos))


def _summary(folder: Path) -> str:
    photos = find_photos(folder)
    inside = sorted({photo.parent.as_posix() for photo in photos})
    where = f" in {', '.join(inside)}" if inside != ["."] and len(inside) <= 8 else ""
    return f"{folder}: {len(photos):,} photos{where}"


def fetch_and_unpack(source: Source, target: Path) -> None:
    """Put the photos of `source` into the new folder `target`.

    Raises UserError if there is no connection, or if the archive is broken, in which case the download is deleted.
    """
    archive = target.with_name(PurePosixPath(urlsplit(source.url).path).name)
    partial = archive.with_name(f"{archive.name}.partial")
    by_hand = archive.exists()
    if not by_hand:
        print(f"downloading {source.url}")
        fetch(source.url, partial, archive)
    file = archive if by_hand else partial
    print(f"unpacking {file}")
    try:
        check(file, source)
        unpack(file, target, source.photos)
    except BrokenArchive as error:
        if by_hand:
            raise UserError(f"{archive} {error}: delete it, or replace it with {source.url}") from None
        partial.unlink()
        raise UserError(f"{source.url} {error}: the download was deleted, run the same command again") from None
    partial.unlink(missing_ok=True)


def fetch(url: str, partial: Path, archive: Path) -> None:
    """Complete the file `partial` from `url`, again after a broken connection as long as the file grows.

    Raises UserError if it stays incomplete, which says that one can also download it to `archive` by other means.
    """
    while True:
        before = _size(partial)
        try:
            return _fetch_rest(url, partial)
        except requests.RequestException as error:
            if _size(partial) > before:
                continue
            answer = error.response
            reason = "no connection" if answer is None else f"the server answers {answer.status_code} {answer.reason}"
            kept = f", the first {_size(partial):,} bytes are kept" if _size(partial) else ""
            raise UserError(
                f"{url} can't be downloaded ({reason}{kept}): run the same command again later, or download it by "
                f"other means to {archive.absolute()} and run the same command again"
            ) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, partial: Path) -> None:
    """Request the bytes that `partial` lacks; a server that does not know Range sends all of them."""
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"}  # else Content-Length would not be the number of bytes written
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        content_range = answer.headers.get("Content-Range", "")
        if have and answer.status_code == 416 and content_range == f"bytes */{have}":
            return  # complete
        resumed = answer.status_code == 206 and content_range.startswith(f"bytes {have}-")
        if have and not resumed and answer.status_code in (206, 416):  # what is here belongs to another file
            partial.unlink()
            return _fetch_rest(url, partial)
        answer.raise_for_status()
        length = int(answer.headers.get("Content-Length", 0))
        chunks = -(-length // CHUNK)
        # The bar stands beside the loop: around it, fastprogress's would end it after `total` pieces, short or not.
        bar = progress_bar(range(chunks), total=chunks)
        with open(partial, "ab" if resumed else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                next(bar, None)
            next(bar, None)
        if length and _size(partial) != length + (have if resumed else 0):  # urllib3 before 2 does not notice
            raise requests.ConnectionError("broke off")


def check(file: Path, source: Source) -> None:
    """Compare `file` with what is known of `source`. Raises BrokenArchive where they differ."""
    size = _size(file)
    if source.size is not None and size != source.size:
        raise BrokenArchive(f"has {size:,} bytes instead of {source.size:,}")
    with open(file, "rb") as opened:
        head = opened.read(2**20)
        if source.head_md5 not in (None, hashlib.md5(head, usedforsecurity=False).hexdigest()):
            raise BrokenArchive("has a wrong checksum")
        if source.sha256 is not None:
            whole = hashlib.sha256(head)
            for block in iter(lambda: opened.read(2**20), b""):
                whole.update(block)
            if whole.hexdigest() != source.sha256:
                raise BrokenArchive("has a wrong checksum")


DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError)
DAMAGE += (EOFError, RuntimeError, ValueError, OverflowError)
"""What Python's libraries raise for damaged archives, the last two for impossible names and times."""


def unpack(archive: Path, target: Path, photos: str = ".") -> None:
    """Unpack a zip or tar.gz file into the new folder `target`, without its top folder if it has a single one.

    Nothing is written outside, and links are left out. Raises BrokenArchive, and leaves nothing behind, for files that
    would be outside, for more than MOST_UNPACKED times the archive's size, for damage that its checksums show, and
    if there is no photo in `photos` (relative to `target`).
    """
    with open(archive, "rb") as file:
        unpack_kind = _unzip if file.read(2) == b"PK" else _untar
    with _whole_folder(target) as folder:
        try:
            unpack_kind(archive, folder)
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno not in OF_ARCHIVES:
                raise  # a full disk
            raise BrokenArchive(f"is damaged, or no archive ({one_line(error)})") from None
        inside = list(folder.iterdir())
        if len(inside) == 1 and inside[0].is_dir():
            top = inside[0].rename(folder.with_name("top"))  # a folder in it may have its name
            folder.rmdir()
            top.rename(folder)
        try:
            find_photos(folder / photos)
        except UserError:
            raise BrokenArchive("has no photos where they should be") from None


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `target` when the block ends well, and is deleted when it doesn't."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        folder = Path(temporary, "folder")
        folder.mkdir()
        yield folder
        folder.rename(target)


def _unzip(archive: Path, folder: Path) -> None:
    guard = _guard(archive)
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            guard(member.filename, member.file_size)
        opened.extractall(folder)  # stops at the size it declares, checks CRCs, writes links as plain files


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise UserError("this Python can't unpack safely: update to 3.10.12, 3.11.4, 3.12 or newer")
    guard = _guard(archive)

    def files_only(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        guard(member.name, member.size)
        member = tarfile.data_filter(member, path)  # raises for links that lead outside, and for devices
        return None if member.issym() or member.islnk() else member

    with gzip.open(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as opened:
            opened.extractall(folder, filter=files_only)
        while stream.read(2**20):  # tarfile stops before the end, where gzip's CRC is
            pass


def _guard(archive: Path) -> Callable[[str, int], None]:
    """A check of each member's name and size (bytes) that raises BrokenArchive for zip bombs and names outside."""
    room = MOST_UNPACKED * _size(archive)

    def guard(name: str, size: int) -> None:
        nonlocal room
        if not name:  # zipfile fails on it
            raise BrokenArchive("has a file without a name")
        path = PureWindowsPath(name)  # knows both slashes, and drives
        if path.drive or path.root or ".." in path.parts:
            raise BrokenArchive(f"has a file that would be outside its folder ({name})")
        room -= size
        if room < 0:
            raise BrokenArchive(f"would unpack to more than {MOST_UNPACKED} times its size")

    return guard


def copy_from_kaggle(handle: str, target: Path) -> None:
    """Copy Kaggle's data set `handle` (OWNER/NAME) into the new folder `target`; kagglehub keeps another in its cache.

    It is copied because kagglehub's own folder is read-only in Kaggle's and Google's notebooks. Raises UserError if
    kagglehub is not installed, and for whatever Kaggle refuses.
    """
    try:
        import kagglehub
        from kagglehub.exceptions import DataCorruptionError
    except ImportError:
        raise UserError("photo sets from Kaggle need kagglehub: pip install kagglehub") from None
    try:
        cached = kagglehub.dataset_download(handle)
    except requests.RequestException as error:
        status = None if error.response is None else error.response.status_code
        raise UserError(f"kaggle:{handle} can't be downloaded: {_kaggle_remedy(status)}") from None
    except (ValueError, DataCorruptionError) as error:  # ValueError: its token file, or its archive, is malformed
        raise UserError(f"kaggle:{handle} can't be downloaded: {error}") from None
    find_photos(cached)
    with _whole_folder(target) as folder:
        shutil.copytree(cached, folder, dirs_exist_ok=True)
    print(f"kagglehub keeps its own copy in {cached}: delete it to save the space")


def _kaggle_remedy(status: int | None) -> str:
    if status in (401, 403):
        return (
            f"Kaggle asks for a token ({status}): create one at https://www.kaggle.com/settings/api and save it as "
            f"{Path.home() / '.kaggle' / 'access_token'}, or save the legacy kaggle.json in that folder"
        )
    if status == 404:
        return "Kaggle has no such data set, or it is private: compare the name with its page at https://www.kaggle.com/datasets"
    reason = "no connection" if status is None else f"Kaggle answers {status}"
    return f"{reason}: run the same command again later, it goes on where it stopped"
