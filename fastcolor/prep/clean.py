"""Finds the photos that no colours can be learnt from: broken, tiny, flat, grey and duplicate ones.

Every photo is opened once, reduced to 64 x 64 pixels, and judged by what is measured then (`Look`). The limits were set
by eye on 10,366 photos from public sets, saved at about 176 px as JPEG of quality 85: the worst noise to expect.
They rather miss a bad photo than list a good one.
"""

import csv
import filecmp
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from fastcolor.color.lab import rgb_to_lab
from fastcolor.errors import UserError
from fastcolor.files import progress_bar, write_csv, write_whole
from fastcolor.photo.folders import over_photos, photos_at
from fastcolor.photo.likeness import alike, fingerprint
from fastcolor.photo.read import open_photo
from fastcolor.remote.far import Far
from fastcolor.remote.on_ray import check_ray
from fastcolor.remote.shards import Shard, read_shard

KINDS = ("unreadable", "tiny", "flat", "grey", "duplicate")

TINY = 64  # pixels of the short side
FLAT = 4.0  # standard deviation of L (0..100); the flattest good photo had 6
NO_COLOR = 4.0  # in a, b: 99 % of a grey photo lie nearer to neutral than this
# A grey photo with a tint (sepia) is below both; photos with colours are above one of them:
ONE_HUE = 2.0  # in a, b: how far 99 % of the photo lie at most from a single hue
ONE_TONE = 1.6  # in a, b: how far the colours are from what lightness predicts (root mean square)


class Look(NamedTuple):
    """What is measured of one photo. a and b are those of CIE Lab, faded out below L = 20, where they are noise."""

    width: int
    height: int
    contrast: float  # standard deviation of L
    chroma: float  # 99 % of the photo lie within this distance of neutral
    off_hue: float  # 99 % of it lie within this distance of a single hue: a ray from neutral in the a, b plane
    off_tone: float  # distance of the colours from a cubic function of L, root mean square
    dhash: str  # 64 bits, hex: whether each of 8 x 8 cells is lighter than its left neighbour (N. Krawetz's dHash)
    thumbnail: str  # 16 x 16 pixels RGB, hex


class Finding(NamedTuple):
    """One row of the report."""

    file: str
    reason: str
    kind: str  # one of KINDS


def clean(
    src: str,  # folder of photos, with all folders below it, or an address: s3://bucket/photos
    dst: Path,  # folder for the report, clean.csv, and for looks.jsonl, which makes the next run fast
    move: Path | None = None,  # folder to move the listed photos to, same tree (default: they stay)
    strict: bool = False,  # end with exit code 2 if a photo can't be read
    ray: str | None = None,  # look on a Ray cluster: its address, or local for processes of this machine
    shard: str | None = None,  # K/N: look only at part K of N; the same command without it then writes the report
):
    """List photos to leave out: broken, tiny, flat, grey, duplicate.

    They are listed in DST/clean.csv with the reason; --move moves them out of the folder.
    """
    part = None if shard is None else read_shard(shard)
    if part and (move or strict):
        raise UserError("--move and --strict are for the command that writes the report, without --shard")
    check_ray(ray)
    with closing(Far()) as far:
        _clean(far.path(src), dst, move, strict, far, ray, part)


def _clean(
    src: Path, dst: Path, move: Path | None, strict: bool, far: Far, ray: str | None, part: Shard | None
) -> None:
    if move and far.split(src):
        raise UserError("--move is for folders on this machine: leave it out, and see the report")
    for folder in filter(None, (dst, move)):
        if src.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise UserError(f"{folder} is inside the source folder {src}: give another folder")
    photos = [photo for photo in photos_at(src, far) if part is None or part.holds(photo.as_posix())]
    cache = f"looks-{part.number}-of-{part.count}.jsonl" if part else "looks.jsonl"
    looks, findings = look_at(src, photos, dst / cache, far, ray)
    if part:
        seen = f"{len(photos):,} photos looked at, {len(findings):,} unreadable"
        print(f"{seen}: after all parts, the same command without --shard writes the report")
        return
    findings += judge(looks)
    report = dst / "clean.csv"
    write_report(report, findings + _moved_before(report, src, move))
    if not looks:
        raise UserError(f"no photo in {far.show(src)} could be read: see {report}")
    counts = ", ".join(f"{sum(finding.kind == kind for finding in findings):,} {kind}" for kind in KINDS)
    print(f"{len(looks) + sum(f.kind == 'unreadable' for f in findings):,} photos: {counts}; see {report}")
    if move:
        moved = sum(move_aside(src / finding.file, move / finding.file) for finding in progress_bar(findings))
        stayed = f", {len(findings) - moved:,} stayed (links, or another file has the name there)"
        print(f"{moved:,} moved to {move}{stayed if moved < len(findings) else ''}")
    if strict and any(finding.kind == "unreadable" for finding in findings):
        raise UserError(f"some photos in {far.show(src)} could not be read: see {report}")


def look_at(
    src: Path, photos: list[Path], cache: Path, far: Far, ray: str | None = None
) -> tuple[dict[Path, Look], list[Finding]]:
    """Look at `photos` (relative to `src`): a Look for each that can be read, a Finding for each that can't.

    `cache` (a file, JSON lines) keeps the looks; a file whose size and time are the same as there, or in another one
    beside it, is not opened again.
    """
    known = {key: look for file in sorted(cache.parent.glob("looks*.jsonl")) for key, look in _read_cache(file)}
    stamps = {photo: _stamp(src / photo, far) for photo in photos}
    looks = {photo: known[photo, stamps[photo]] for photo in photos if (photo, stamps[photo]) in known}
    findings = []
    waiting = [photo for photo in photos if photo not in looks]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with open(cache, "a", buffering=1) as file:
        results = over_photos(look_at_file, waiting, src, None, far, ray)
        for photo, result, reason in progress_bar(results, total=len(waiting)):
            if reason is not None:
                findings.append(Finding(str(photo), reason, "unreadable"))
            else:
                looks[photo] = result
                print(json.dumps([str(photo), stamps[photo], *result]), file=file)
    return {photo: looks[photo] for photo in photos if photo in looks}, findings


def look_at_file(path: Path) -> Look:
    """Measure a photo's file. Raises UnreadablePhoto."""
    return look(open_photo(path))


def _stamp(file: Path, far: Far) -> str:
    """Size and time of a file, which change when it does; empty for a link that leads nowhere."""
    if entry := far.entries.get(file):
        return f"{entry.size} {entry.version}"
    return f"{file.stat().st_size} {file.stat().st_mtime_ns}" if file.exists() else ""


def _read_cache(cache: Path) -> Iterator[tuple[tuple[Path, str], Look]]:
    for line in cache.read_text().splitlines():
        try:
            photo, stamp, *values = json.loads(line)
            yield (Path(photo), stamp), Look(*values)
        except (ValueError, TypeError):  # the run was stopped in the middle of a line
            continue


def look(photo: Image.Image) -> Look:
    """Measure an RGB image of any size; see Look."""
    small = photo.resize((64, 64), Image.Resampling.BOX)
    rgb = torch.from_numpy(np.array(small.reduce(2))).permute(2, 0, 1) / 255
    lightness, *ab = rgb_to_lab(rgb).flatten(1).double().numpy()
    weight = np.clip(lightness / 20, 0, 1)
    ab = weight * np.stack(ab)
    along, across = np.linalg.eigh(ab @ ab.T)[1].T[::-1] @ ab  # the main hue's axis through neutral, and the other one
    along *= np.sign(along.sum())
    off_hue = np.hypot(across, np.minimum(along, 0))
    powers = weight * np.stack([(lightness / 50 - 1) ** n for n in range(4)])
    off_tone = ab.T - powers.T @ np.linalg.lstsq(powers.T, ab.T, rcond=None)[0]
    return Look(
        *photo.size,
        contrast=float(lightness.std()),
        chroma=float(np.percentile(np.hypot(*ab), 99)),
        off_hue=float(np.percentile(off_hue, 99)),
        off_tone=float((off_tone**2).sum(1).mean() ** 0.5),
        **fingerprint(small),
    )


def judge(looks: dict[Path, Look]) -> list[Finding]:
    """What is wrong with which photo: one Finding at most for each, and duplicates only among those without."""
    findings, good = [], {}
    for photo, seen in looks.items():
        if min(seen.width, seen.height) < TINY:
            kind, reason = "tiny", f"has {seen.width} x {seen.height} pixels, less than {TINY} on the short side"
        elif seen.contrast < FLAT:
            kind, reason = "flat", f"has almost no contrast: its lightness varies by {seen.contrast:.1f} of 100"
        elif seen.chroma < NO_COLOR:
            kind, reason = "grey", f"has no colour: 99 % of it lie within {seen.chroma:.1f} of neutral in a, b"
        elif seen.off_hue < ONE_HUE and seen.off_tone < ONE_TONE:
            kind = "grey"
            reason = (
                f"is grey with a tint: 99 % of it lie within {seen.off_hue:.1f} of a single hue in a, b, "
                f"and its lightness predicts its colours within {seen.off_tone:.1f}"
            )
        else:
            good[photo] = seen
            continue
        findings.append(Finding(str(photo), reason, kind))
    return findings + find_duplicates(good)


def find_duplicates(looks: dict[Path, Look]) -> list[Finding]:
    """The photos that show the same as a larger one, or, of the same size, as one whose name comes first."""
    photos = sorted(looks, key=lambda photo: (-looks[photo].width * looks[photo].height, photo))
    return [
        Finding(
            str(photos[other]),
            f"shows the same as {photos[keeper]}: they differ by {100 * apart:.0f} % of the contrast and in "
            f"{bits:.0f} of 64 hash bits",
            "duplicate",
        )
        for keeper, other, apart, bits in alike([looks[photo]._asdict() for photo in photos])
    ]


def write_report(path: Path, findings: list[Finding]) -> None:
    """Write `findings`, sorted by kind and name, as a CSV file with the columns file, reason, kind."""
    write_csv(path, Finding._fields, sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.file)))


def _moved_before(report: Path, src: Path, move: Path | None) -> list[Finding]:
    """The rows of an earlier report whose photos have been moved since: a run that goes on must not lose them."""
    if not move or not report.exists():
        return []
    with open(report, newline="", encoding="utf-8", errors="surrogateescape") as file:
        earlier = [Finding(**row) for row in csv.DictReader(file)]
    return [row for row in earlier if (move / row.file).exists() and not os.path.lexists(src / row.file)]


def move_aside(source: Path, target: Path) -> bool:
    """Move a file, to another disk too. False if it stays: it is a link, or `target` is there and another file."""
    if source.is_symlink():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # unlike a rename, never replaces what is there
    except FileExistsError:
        if not filecmp.cmp(source, target, shallow=False):  # the same: an earlier run was stopped before `unlink`
            return False
    except OSError:  # another disk, or one without hard links
        with write_whole(target) as temporary:
            shutil.copy2(source, temporary)
    source.unlink()
    return True
