"""Finds what spoils a folder of photos for learning colours: broken, tiny, flat, grey and duplicate ones.

Every photo is looked at once, reduced to 64 x 64 pixels; what is kept of it (`Look`) decides. The limits were set by
eye on 10,366 photos out of public sets, saved at about 176 px as JPEG of quality 85, whose noise is the worst that
should be expected; they prefer missing one to flagging a good photo.
"""

import csv
import filecmp
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from fastcolor.color.lab import rgb_to_lab
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import in_threads, progress_bar, write_csv, write_whole
from fastcolor.photo.folders import find_photos
from fastcolor.photo.likeness import alike, fingerprint
from fastcolor.photo.read import open_photo

KINDS = ("unreadable", "tiny", "flat", "grey", "duplicate")

TINY = 64  # pixels on the short side
FLAT = 4.0  # standard deviation of L (0..100); the flattest good photo had 6
NO_COLOR = 4.0  # a, b: 99 % of the photo lie nearer to neutral
ONE_HUE = 2.0  # a, b: 99 % of a tinted photo lie within this of one hue,
ONE_TONE = 1.6  # a, b: and lightness foretells its colours within this (root mean square); others fail one of both


class Look(NamedTuple):
    """What is kept of one photo. a, b are those of CIE Lab, faded out where L < 20: dark pixels' are noise."""

    width: int
    height: int
    contrast: float  # standard deviation of L
    chroma: float  # distance from neutral that 99 % of the photo keep
    off_hue: float  # distance from the nearest single hue (a ray from neutral in the a, b plane) that 99 % keep
    off_tone: float  # distance of the colours from a cubic function of L, root mean square
    dhash: str  # 64 bits, hex: whether each of 8 x 8 cells is lighter than its left neighbour (N. Krawetz's dHash)
    thumbnail: str  # 16 x 16 pixels RGB, hex


class Finding(NamedTuple):
    """One line of the report."""

    file: str
    reason: str
    kind: str  # one of KINDS


def clean(
    src: Path,  # folder of photos, any tree
    dst: Path,  # folder for the report clean.csv, and for looks.jsonl, which spares a second look at the same files
    move: Path | None = None,  # folder to move the flagged photos to, keeping the tree; without it they stay
    strict: bool = False,  # exit code 2 if any photo is unreadable
):
    """Report what spoils a folder of photos for learning colours: broken, tiny, flat, grey and duplicate ones."""
    for folder in filter(None, (dst, move)):
        if src.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise UserError(f"{folder} lies in the source folder {src}: give another one")
    looks, findings = look_at(src, find_photos(src), dst / "looks.jsonl")
    findings += judge(looks)
    report = dst / "clean.csv"
    write_report(report, findings + _moved_before(report, src, move))
    if not looks:
        raise UserError(f"{src}: no photo could be read; see {report}")
    counts = ", ".join(f"{sum(finding.kind == kind for finding in findings):,} {kind}" for kind in KINDS)
    print(f"{len(looks) + sum(f.kind == 'unreadable' for f in findings):,} photos: {counts}; see {report}")
    if move:
        moved = sum(move_aside(src / finding.file, move / finding.file) for finding in progress_bar(findings))
        stayed = f", {len(findings) - moved:,} stayed (links, or the name is taken there)"
        print(f"{moved:,} moved to {move}{stayed if moved < len(findings) else ''}")
    if strict and any(finding.kind == "unreadable" for finding in findings):
        raise UserError(f"{src}: some photos could not be read; see {report}")


def look_at(src: Path, photos: list[Path], cache: Path) -> tuple[dict[Path, Look], list[Finding]]:
    """Look at `photos` (relative to `src`): a Look for each that can be read, a Finding for each that can't.

    `cache` gets a line for each; files whose size and time stand there already are not opened again.
    """
    known = dict(_read_cache(cache))
    stamps = {photo: _stamp(src / photo) for photo in photos}
    looks = {photo: known[photo, stamps[photo]] for photo in photos if (photo, stamps[photo]) in known}
    findings = []

    def one(photo: Path) -> tuple[Path, Look | str]:
        try:
            return photo, look(open_photo(src / photo))
        except UnreadablePhoto as error:
            return photo, error.reason

    waiting = [photo for photo in photos if photo not in looks]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with open(cache, "a", buffering=1) as file:
        for photo, result in progress_bar(in_threads(one, waiting), total=len(waiting)):
            if isinstance(result, str):
                findings.append(Finding(str(photo), result, "unreadable"))
            else:
                looks[photo] = result
                print(json.dumps([str(photo), stamps[photo], *result]), file=file)
    return {photo: looks[photo] for photo in photos if photo in looks}, findings


def _stamp(file: Path) -> str:
    """Changes when the file does; empty for a link that leads nowhere."""
    return f"{file.stat().st_size} {file.stat().st_mtime_ns}" if file.exists() else ""


def _read_cache(cache: Path) -> Iterator[tuple[tuple[Path, str], Look]]:
    for line in cache.read_text().splitlines() if cache.exists() else ():
        try:
            photo, stamp, *values = json.loads(line)
            yield (Path(photo), stamp), Look(*values)
        except (ValueError, TypeError):  # the run was stopped in the middle of a line
            continue


def look(photo: Image.Image) -> Look:
    """Measure an RGB image; see Look."""
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
    """What is wrong with which photo, one Finding at most for each; duplicates only among the others."""
    findings, good = [], {}
    for photo, seen in looks.items():
        if min(seen.width, seen.height) < TINY:
            kind, reason = "tiny", f"has {seen.width} x {seen.height} pixels, less than {TINY} on the short side"
        elif seen.contrast < FLAT:
            kind, reason = "flat", f"has hardly any light and shade: lightness varies by {seen.contrast:.1f} of 100"
        elif seen.chroma < NO_COLOR:
            kind, reason = "grey", f"has no colour: 99 % of it lie within {seen.chroma:.1f} of neutral in a, b"
        elif seen.off_hue < ONE_HUE and seen.off_tone < ONE_TONE:
            kind = "grey"
            reason = (
                f"is grey with a tint: 99 % of it lie within {seen.off_hue:.1f} of a single hue in a, b, "
                f"and lightness foretells the colour within {seen.off_tone:.1f}"
            )
        else:
            good[photo] = seen
            continue
        findings.append(Finding(str(photo), reason, kind))
    return findings + find_duplicates(good)


def find_duplicates(looks: dict[Path, Look]) -> list[Finding]:
    """The photos that show the same as a larger one (of equal ones, as the first by name), which is kept."""
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
    """Write `findings`, by kind and name, as a CSV file with the columns file, reason, kind."""
    write_csv(path, Finding._fields, sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.file)))


def _moved_before(report: Path, src: Path, move: Path | None) -> list[Finding]:
    """The lines of an earlier report whose photos were moved already: a run that goes on should not forget them."""
    if not move or not report.exists():
        return []
    with open(report, newline="", encoding="utf-8", errors="surrogateescape") as file:
        earlier = [Finding(**row) for row in csv.DictReader(file)]
    return [row for row in earlier if (move / row.file).exists() and not os.path.lexists(src / row.file)]


def move_aside(source: Path, target: Path) -> bool:
    """Move a file, to another disk if need be; False if it stays because it is a link or another `target` is there."""
    if source.is_symlink():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # unlike a rename, never replaces what is there
    except FileExistsError:
        if not filecmp.cmp(source, target, shallow=False):  # equal: an earlier run was stopped before `unlink`
            return False
    except OSError:  # another disk, or one without hard links
        with write_whole(target) as temporary:
            shutil.copy2(source, temporary)
    source.unlink()
    return True
