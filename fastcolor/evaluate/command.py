"""How good colours are on a folder of photos: every photo is made grey, coloured, and compared with itself.

    fastcolor evaluate --data PHOTOS                                     # the weights that come with fastcolor
    fastcolor evaluate --data PHOTOS --weights MINE --against OTHERS     # two, side by side
    fastcolor evaluate --data PHOTOS --names runs/NAME/split.csv         # only what that run held out for testing

Photos are coloured and compared at their own size, as upright 8-bit sRGB; only those above a megapixel are reduced to
that before they are compared. Grey and real photos are rows for reference.
"""

import csv
import json
import os
import time
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

import fastcolor
from fastcolor.color.fullsize import recolor
from fastcolor.color.lab import grey_of, rgb_to_lab
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.data.aging import age
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import progress_bar, write_csv, write_whole
from fastcolor.flags import at_least
from fastcolor.photo.folders import find_photos, write_unreadable
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.training.report import print_table, sheet

SEED = 42  # of --limit
COLUMNS = {  # figure, as it is called in JSON and CSV: its head in the table, its format
    "psnr": ("PSNR dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips_squeeze": ("LPIPS squeeze", ".3f"),
    "lpips_alex": ("LPIPS alex", ".3f"),
    "ciede2000": ("CIEDE2000", ".2f"),
    "colorfulness": ("colourfulness", ".1f"),
    "colorfulness_difference": ("minus real", "+.1f"),
    "colorfulness_share": ("of real", ".0%"),
    "colorfulness_abs": ("absolute colourf.", ".1f"),
    "fid": ("FID", ".2f"),
    "frechet_resnet18": ("Frechet ResNet-18", ".3f"),
    "seconds": ("s/photo", ".3f"),
}
SHOWN, SHOWN_SIDE = 4, 192  # photos of each kind on the contact sheet; pixels

Painter = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a photo's grey, `(H, W)`, and the photo itself, `(H, W, 3)`, to a picture to be judged; all uint8 sRGB."""


def main(
    data: str | None = None,  # folder of colour photos, any tree
    weights: str | None = None,  # a generator's weights file (default: the one that comes with fastcolor)
    against: str | None = None,  # another one, to compare it with
    out: str = "evaluation",  # folder for evaluation.json, evaluation.csv and contact_sheet.png
    names: str | None = None,  # take only the photos in this CSV file, columns file and part: a run's split.csv
    part: str = "test",  # the part of --names to take
    limit: int | None = None,  # take only so many photos, a seeded choice
    lpips: str = "squeeze",  # network of LPIPS: squeeze or alex
    frechet: str = "auto",  # features of the Frechet distance: inception (that is the FID), resnet18, or what is there
    size: int | None = None,  # pixels on the short side for the network (default: what the weights were trained for)
    strength: float = 1.0,  # of the colours: 0 leaves the photo grey
    chroma: str = "auto",  # how the colours are brought to the photo's size: bilinear, guided or auto
    aged: bool = False,  # on old prints of the photos instead: faded, grainy, scratched
):
    """Measure how good colours are on a folder of photos, beside grey and the real ones."""
    try:
        from fastcolor.evaluate.judge import Judge
    except ModuleNotFoundError as error:
        missing = error.name.partition(".")[0]
        raise UserError(f"evaluating needs {missing}: run `pip install 'fastcolor[evaluate]'`") from None
    at_least(1, limit=limit)
    if data is None:
        raise UserError("there is nothing to evaluate on: give a folder of photos with --data")
    if Path(out).resolve().is_relative_to(Path(data).resolve()):
        raise UserError(f"{out} lies in the photo folder {data}: give another --out")
    photos = choose_photos(Path(data), names, part, limit)
    judge = Judge(lpips, frechet)
    painters = painters_of(weights, against, size=size, strength=strength, chroma=chroma)
    Path(out).mkdir(parents=True, exist_ok=True)  # before all the work, not after
    rows, unreadable = judge_photos(Path(data), photos, painters, judge, aged)
    write_unreadable(Path(out, "unreadable.csv"), unreadable)
    if not rows:
        raise UserError(f"{data}: no photo could be read, the first is {unreadable[0][0]} ({unreadable[0][1]})")
    total = summary(rows, judge.frechet_name)
    by_folder = {f"{folder}/": summary(its, judge.frechet_name) for folder, its in grouped(rows, folder_of).items()}
    about = {"data": data, "names": names, "part": part if names else None, "limit": limit}
    about |= {"weights": weights, "against": against, "size": size, "strength": strength, "chroma": chroma, "aged": aged}
    about |= {"fastcolor": fastcolor.__version__, "date": str(date.today()), "missing": judge.missing}
    write_json(Path(out, "evaluation.json"), {"settings": about, **total, "folders": by_folder})
    write_rows(Path(out, "evaluation.csv"), rows)
    save_photo(contact_sheet(Path(data), rows, painters, aged), Path(out, "contact_sheet.png"))
    print_figures({"all": total, **(by_folder if len(by_folder) > 1 else {})})
    print_remarks(judge, rows, unreadable)
    print(f"see {Path(out, 'contact_sheet.png')}, {Path(out, 'evaluation.json')} and {Path(out, 'evaluation.csv')}")


def choose_photos(data: Path, names: str | None, part: str, limit: int | None) -> list[Path]:
    """The photos to judge, sorted, relative to `data`: all, or those of a part of a split; of these a seeded choice."""
    photos = find_photos(data) if names is None else listed_photos(Path(names), part)
    if limit:
        photos = [photos[i] for i in sorted(np.random.default_rng(SEED).permutation(len(photos))[:limit])]
    return photos


def listed_photos(names: Path, part: str) -> list[Path]:
    """The files of `part` in a CSV file with the columns file and part. Raises UserError where there are none."""
    try:
        with open(names, newline="", encoding="utf-8", errors="surrogateescape") as file:
            parts = {row["file"]: row["part"] or "" for row in csv.DictReader(file)}
    except FileNotFoundError:
        raise UserError(f"{names} does not exist: give a run's split.csv") from None
    except (KeyError, csv.Error):
        raise UserError(f"{names} is no CSV file with the columns file and part: give a run's split.csv") from None
    photos = sorted(Path(file) for file, its in parts.items() if its == part)
    if not photos:
        there = ", ".join(sorted(set(parts.values()))) or "nothing"
        raise UserError(f"{names} has no photo of the part {part}, but {there}: give another --part")
    return photos


def painters_of(weights: str | None, against: str | None, **options) -> dict[str, Painter]:
    """By name, what paints the pictures to be judged: grey, the weights, the others, real."""
    if against is not None and weights is not None and Path(against).resolve() == Path(weights).resolve():
        raise UserError(f"{against} would be compared with itself: give other weights with --against")

    def colored_by(file: str | None) -> Painter:
        colorizer = Colorizer(file, **options)
        return lambda grey, real: colorizer.pixels(grey if colorizer.keeps_light else real)

    files = {"bundled" if weights is None else weights: weights, **({against: against} if against else {})}
    short = {name: "/".join(Path(name).with_suffix("").parts[-2:]) for name in files}
    labels = short if len(set(short.values())) == len(files) else {name: name for name in files}
    grey_and_real = {"grey": lambda grey, real: np.dstack([grey] * 3), "real": lambda grey, real: real}
    colored = {labels[name]: colored_by(file) for name, file in files.items()}
    return {"grey": grey_and_real["grey"], **colored, "real": grey_and_real["real"]}


def judge_photos(
    data: Path, photos: list[Path], painters: dict[str, Painter], judge, aged: bool = False
) -> tuple[list[dict], list[tuple[Path, str]]]:
    """A row of figures for each photo and painter, and which photos could not be read and why."""
    rows, unreadable, is_warm = [], [], False
    for photo in progress_bar(photos):
        try:
            grey, real = open_pair(data, photo, aged)
        except UnreadablePhoto as error:
            unreadable.append((photo, error.reason))
            continue
        if not is_warm:  # the first call of a network sets things up: not what a photo takes
            for paint in painters.values():
                paint(grey, real)
            is_warm = True
        for name, paint in painters.items():
            begin = time.perf_counter()
            fake = paint(grey, real)
            seconds = None if name in ("grey", "real") else time.perf_counter() - begin
            about = {"file": str(photo), "system": name, "width": real.shape[1], "height": real.shape[0]}
            rows.append({**about, **judge(fake, real), "seconds": seconds})
    return rows, unreadable


def open_pair(data: Path, photo: Path | str, aged: bool) -> tuple[np.ndarray, np.ndarray]:
    """What a network is given of a photo, its neutral grey of the same lightness `(H, W)`, and the photo `(H, W, 3)`; uint8.

    If `aged`, an old print of it, always the same, and the photo's own colours with the print's light. Raises
    UnreadablePhoto.
    """
    real = np.array(open_photo(data / photo))
    rgb = torch.from_numpy(real).permute(2, 0, 1)
    if not aged:
        return grey_of(rgb).numpy(), real
    grey = age(rgb[None], zlib.crc32(os.fsencode(photo)))[0, 0].numpy()
    return grey, recolor(grey, rgb_to_lab(rgb)[1:].numpy())


def summary(rows: list[dict], frechet_name: str) -> dict:
    """The number of photos, and each system's figures: means, share of the real colourfulness, Frechet distance."""
    from fastcolor.evaluate.judge import frechet_distance, summarize

    by_system = grouped(rows, lambda row: row["system"])
    features = {name: [row["features"] for row in its] for name, its in by_system.items()}
    figures = {}
    for name, its in by_system.items():
        means = summarize([{key: row[key] for key in row if key in COLUMNS} for row in its])
        figures[name] = {**means, frechet_name: frechet_distance(features[name], features["real"])}
    return {"photos": len(by_system["real"]), "systems": figures}


def grouped(rows: list[dict], key: Callable[[dict], str]) -> dict[str, list[dict]]:
    """The rows by their key, in the order in which the keys come."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def folder_of(row: dict) -> str:
    """The top folder of a photo; "." for those that lie in none."""
    parts = Path(row["file"]).parts
    return parts[0] if len(parts) > 1 else "."


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all; a figure that could not be had is null."""
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write one line per photo and system; a figure that could not be had stays empty."""
    columns = [name for name in rows[0] if name != "features"]
    write_csv(path, columns, [["" if row[name] is None else row[name] for name in columns] for row in rows])


def contact_sheet(data: Path, rows: list[dict], painters: dict[str, Painter], aged: bool = False) -> Image.Image:
    """The best, median and worst photos by CIEDE2000 of the first weights, painted once more; figures below each."""
    by_file = grouped(rows, lambda row: row["file"])
    by_photo = {file: {row["system"]: row for row in its} for file, its in by_file.items()}
    first, *_ = colored = [name for name in painters if name not in ("grey", "real")]
    order = sorted(by_photo, key=lambda file: by_photo[file][first]["ciede2000"])
    count = min(SHOWN, -(-len(order) // 3))
    middle = (len(order) - count) // 2
    kinds = {"worst": order[-count:], "median": order[middle : middle + count], "best": order[:count]}
    kind_of = {file: kind for kind, files in kinds.items() for file in files}
    chosen = [file for file in order if file in kind_of]
    pictures, captions = {name: [] for name in painters}, []
    for file in chosen:
        grey, real = open_pair(data, file, aged)
        for name, paint in painters.items():
            picture = Image.fromarray(paint(grey, real))
            small = ImageOps.pad(picture, (SHOWN_SIDE, SHOWN_SIDE), color="white")
            pictures[name].append(torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255)
        its = by_photo[file]
        errors = " | ".join(f"{its[name]['ciede2000']:.1f}" for name in colored)
        colors = " | ".join(f"{its[name]['colorfulness']:.0f}" for name in (*colored, "real"))
        captions.append(f"{kind_of[file]}: CIEDE2000 {errors}, colourfulness {colors}, {printable(file)}")
    return sheet({name: torch.stack(images) for name, images in pictures.items()}, captions)


def print_figures(tables: dict[str, dict]) -> None:
    """Print `summary` tables, each under its title, as one."""
    systems = [its for table in tables.values() for its in table["systems"].values()]
    shown = [key for key in COLUMNS if any(its.get(key) is not None for its in systems)]
    lines = []
    for title, table in tables.items():
        titles = [f"{printable(title)}, {table['photos']:,} photo{'s' if table['photos'] > 1 else ''}", ""]
        for name, its in table["systems"].items():
            figures = ("" if its.get(key) is None else format(its[key], COLUMNS[key][1]) for key in shown)
            lines.append([titles.pop(0) if len(titles) > 1 else "", name, *figures])
    print_table(["", "", *(COLUMNS[key][0] for key in shown)], lines)


def print_remarks(judge, rows: list[dict], unreadable: list[tuple[Path, str]]) -> None:
    """Print what is to be known about the figures: what is missing, what can't be compared, what was left out."""
    from fastcolor.evaluate.judge import LPIPS_LEAST, MOST_PIXELS

    for sentence in judge.missing:
        print(f"left out: {sentence}")
    of_real = [row for row in rows if row["system"] == "real"]
    count, features = len(of_real), of_real[0]["features"]
    if features is not None and count < 2:
        print("a Frechet distance needs more than one photo")
    elif features is not None and count < len(features):
        few = f"Frechet distances of {count:,} photos on {len(features):,} features"
        print(f"{few}: not comparable with those of other counts")
    large = sum(row["width"] * row["height"] > MOST_PIXELS for row in of_real)
    if large:
        print(f"{large:,} photos above {MOST_PIXELS / 1e6:g} Mpx were reduced to that before they were compared")
    for row in of_real:
        if min(row["width"], row["height"]) < LPIPS_LEAST:
            print(f"{printable(row['file'])} is below {LPIPS_LEAST} px: left out of LPIPS")
    for photo, reason in sorted(unreadable):
        print(f"{printable(str(photo))} was left out: {reason}")


def printable(name: str) -> str:
    """A file name that can be printed and drawn anywhere."""
    return os.fsencode(name).decode("ascii", errors="replace")
