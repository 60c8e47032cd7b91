"""How good colours are on a folder of photos: each photo is made grey, coloured, and compared with the original.

    fastcolor evaluate --data PHOTOS                                     # the weights that come with fastcolor
    fastcolor evaluate --data PHOTOS --weights MINE --against OTHERS     # two, side by side
    fastcolor evaluate --data PHOTOS --names runs/NAME/split.csv         # only the test photos of that run
    fastcolor evaluate --data PHOTOS --hints 0,1,3,10                    # with so many hints of the real colours
    fastcolor evaluate --data PHOTOS --weights photo_to_monet.safetensors --target PAINTINGS   # without pairs

Photos are coloured and compared at their own size, as upright 8-bit sRGB; those above a megapixel are reduced to one
before they are compared. The figures of grey and of the real photos stand beside, for reference.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

import fastcolor
from fastcolor.errors import UserError
from fastcolor.evaluate.hints import counts_of, draw_curve
from fastcolor.evaluate.photos import Exam, Painter, judge_photos, open_pair, with_hints
from fastcolor.evaluate.shared import Parts, judge_on_ray
from fastcolor.files import progress_bar, write_csv, write_whole
from fastcolor.flags import at_least
from fastcolor.photo.fetched import fetched
from fastcolor.photo.folders import photos_at, write_unreadable
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.remote.far import HERE, Far
from fastcolor.remote.on_ray import check_ray
from fastcolor.remote.shards import read_shard
from fastcolor.remote.store import shown
from fastcolor.runs.run import cache_folder
from fastcolor.training.report import print_table, sheet
from fastcolor.weights import weights_file

SEED = 42  # of --limit
RESULTS = ("evaluation.json", "evaluation.csv", "contact_sheet.png", "hints.png")
COLUMNS = {  # figure, as it is called in JSON and CSV: its head in the table, its format
    "psnr": ("PSNR dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips_squeeze": ("LPIPS squeeze", ".3f"),
    "lpips_alex": ("LPIPS alex", ".3f"),
    "resnet18": ("ResNet-18 layers", ".3f"),
    "ciede2000": ("CIEDE2000", ".2f"),
    "colorfulness": ("colourfulness", ".1f"),
    "colorfulness_difference": ("minus real", "+.1f"),
    "colorfulness_share": ("of real", ".0%"),
    "colorfulness_abs": ("absolute colourf.", ".1f"),
    "hue_diversity": ("hue diversity", ".2f"),
    "mean_b": ("mean b*", "+.1f"),
    "blue_share": ("blue", ".0%"),
    "skin_error": ("ab error of skin", ".1f"),
    "hue_spread": ("hue spread", ".1f"),
    "fid": ("FID", ".2f"),
    "frechet_resnet18": ("Frechet ResNet-18", ".3f"),
    "frechet_target": ("Frechet to target", ".3f"),
    "seconds": ("s/photo", ".3f"),
}
SHOWN, SHOWN_SIDE = 4, 192  # photos of each kind on the contact sheet; pixels


def main(
    data: str | None = None,  # folder of colour photos, any tree, or its address
    weights: str | None = None,  # a generator's weights file or a run folder (default: bundled, fastcolor's own)
    against: str | None = None,  # another one, to compare it with
    out: str = "evaluation",  # folder for evaluation.json, evaluation.csv and contact_sheet.png
    names: str | None = None,  # only the photos in this CSV file with the columns file and part: a run's split.csv
    part: str = "test",  # the part of --names to use
    limit: int | None = None,  # only so many photos, chosen at random, always the same ones
    lpips: str = "squeeze",  # network of LPIPS: squeeze or alex
    frechet: str = "auto",  # features of the Frechet distance: inception (the FID), resnet18, auto (what is there)
    size: int | None = None,  # short side, in pixels, at which the network sees a photo (default: as it was trained)
    strength: float = 1.0,  # of the colours: 0 leaves the photo grey
    chroma: str = "auto",  # how colour is enlarged to full size: bilinear, guided (by the photo's edges), auto
    target: str | None = None,  # folder of pictures that results should be like, for cyclegan: paintings, unpaired
    hints: str | None = None,  # numbers of hints with the real colour, 0,1,3,10: how much they help
    aged: bool = False,  # make the photos look like old prints first: faded, grainy, scratched
    force: bool = False,  # replace the results of an earlier evaluation in --out
    ray: str | None = None,  # judge on a Ray cluster: its address, or local for processes of this machine
    shard: str | None = None,  # K/N: judge only part K of N; the same command without it then puts them together
):
    """Measure how good colours are on a folder of photos."""
    try:
        from fastcolor.evaluate.judge import Judge
    except ModuleNotFoundError as error:
        missing = error.name.partition(".")[0]
        raise UserError(f"evaluating needs {missing}: run `pip install 'fastcolor[evaluate]'`") from None
    at_least(1, limit=limit)
    counts = counts_of(hints)
    exam = Exam(weights, against, counts, {"size": size, "strength": strength, "chroma": chroma}, lpips, frechet, aged)
    share = None if shard is None else read_shard(shard)
    check_ray(ray)
    if data is None:
        raise UserError("no photos to evaluate on: give a folder of photos with --data")
    with closing(Far()) as far:
        folder = far.path(data) if ray else Path(fetched(data, cache_folder()))
        check_places(Path(out), folder, (weights, against), force)
        photos = choose_photos(folder, names, part, limit, far)
        judge = Judge(lpips, frechet)
        wanted = [] if share else target_features(target, limit, judge, far)
        systems = exam.systems()
        about = {"data": shown(data), "names": names, "part": part if names else None, "limit": limit}
        about |= {"target": target, "weights": weights, "against": against, **exam.look, "hints": hints, "aged": aged}
        about |= {"fastcolor": fastcolor.__version__, "date": str(date.today()), "missing": judge.missing}
        Path(out).mkdir(parents=True, exist_ok=True)  # before all the work, not after
        parts = Parts(Path(out), exam, about)
        left = parts.left(photos, share)
        if ray:
            found = judge_on_ray(ray, exam, list(systems), judge.missing, folder, left, far)
        else:
            found = judge_photos(folder, left, systems, judge, aged)
        if share:
            parts.write(share, *found)
            print(f"{len(left):,} photos judged: after all parts, the same command without --shard makes the figures")
            return
        rows, unreadable = parts.together(photos, *found)
        write_results(Path(out), about, rows, unreadable, judge, wanted)
        save_photo(contact_sheet(folder, rows, systems, aged, far), Path(out, "contact_sheet.png"))
        parts.delete()
    print(f"see {Path(out, 'contact_sheet.png')}, {Path(out, 'evaluation.json')} and {Path(out, 'evaluation.csv')}")


def check_places(out: Path, data: Path, weights: Iterable[str | None], force: bool) -> None:
    """Raise UserError where weights are missing, or results can't be written to `out`."""
    if out.resolve().is_relative_to(data.resolve()):
        raise UserError(f"{out} is inside the photo folder {data}: give another --out")
    if not force and (there := next((file for file in RESULTS if (out / file).exists()), None)):
        raise UserError(f"{out / there} is there already: give --force to replace it, or another --out")
    for file in map(weights_file, filter(None, weights)):
        if not file.is_file():
            raise UserError(f"{file} does not exist: give --weights and --against files, run folders, or bundled")


def choose_photos(data: Path, names: str | None, part: str, limit: int | None, far: Far = HERE) -> list[Path]:
    """The photos to judge, sorted, relative to `data`: all, or a part of a split; `limit` of them, chosen by a seed."""
    if names is None:
        photos = photos_at(data, far)
    else:
        far.there(data)  # lists it
        photos = listed_photos(Path(names), part)
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
        raise UserError(f"{names} is not a CSV file with the columns file and part: give a run's split.csv") from None
    photos = sorted(Path(file) for file, its in parts.items() if its == part)
    if not photos:
        there = ", ".join(sorted(set(parts.values()))) or "nothing"
        raise UserError(f"{names} has no photos of --part {part}: choose {there}")
    return photos


def by_count(figures: dict[str, dict], counts: Sequence[int]) -> dict[str, dict[int, dict]]:
    """The figures of each weights by their number of hints."""
    weights = [name for name in figures if with_hints(name, counts[-1]) in figures]
    return {name: {count: figures[with_hints(name, count)] for count in counts} for name in weights}


def target_features(target: str | None, limit: int | None, judge, far: Far) -> list:
    """The Frechet features of the pictures in the folder `target`, at most `limit`; none without a folder."""
    photos = choose_photos(Path(target), None, "", limit, far) if target else []
    return [judge.features(np.array(open_photo(Path(target, photo)))) for photo in progress_bar(photos)]


def summary(rows: list[dict], frechet_name: str, target: Sequence = ()) -> dict:
    """The number of photos, and each system's figures: means, share of the real colourfulness, Frechet distances.

    Those are to the photos, and to the pictures whose features are `target`.
    """
    from fastcolor.evaluate.judge import SET_ONLY, frechet_distance, summarize

    by_system = grouped(rows, lambda row: row["system"])
    features = {name: [row["features"] for row in its] for name, its in by_system.items()}
    figures = {}
    for name, its in by_system.items():
        means = summarize([{key: row[key] for key in row if key in (*COLUMNS, *SET_ONLY)} for row in its])
        figures[name] = {**means, frechet_name: frechet_distance(features[name], features["real"])}
        if len(target) > 1:
            figures[name]["frechet_target"] = frechet_distance(features[name], target)
    return {"photos": len(by_system["real"]), "systems": figures}


def grouped(rows: list[dict], key: Callable[[dict], str]) -> dict[str, list[dict]]:
    """The rows by their key, in the order in which the keys appear."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def folder_of(row: dict) -> str:
    """The top folder of a photo; "." if it is in none."""
    parts = Path(row["file"]).parts
    return parts[0] if len(parts) > 1 else "."


def write_results(
    out: Path, about: dict, rows: list[dict], unreadable: list[tuple[Path, str]], judge, target: list
) -> None:
    """Write and print the figures; `target` are Frechet features, see `summary`. Raises UserError if there are none."""
    write_unreadable(out / "unreadable.csv", unreadable)
    if not rows:
        first, reason = unreadable[0]
        raise UserError(f"{about['data']}: no photo can be read, not even {first} ({reason}): give another folder")
    total = summary(rows, judge.frechet_name, target)
    by_folder = {f"{name}/": summary(its, judge.frechet_name, target) for name, its in grouped(rows, folder_of).items()}
    write_json(out / "evaluation.json", {"settings": about, **total, "folders": by_folder})
    write_rows(out / "evaluation.csv", rows)
    counts = counts_of(about["hints"])
    if len(counts) > 1:
        draw_curve(out / "hints.png", by_count(total["systems"], counts))
        print(f"see {out / 'hints.png'} for what hints bring")
    print_figures({"all": total, **(by_folder if len(by_folder) > 1 else {})})
    print_remarks(judge, rows, unreadable)


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all; a figure that there is not is null."""
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write one line per photo and system; a figure that there is not stays empty."""
    from fastcolor.evaluate.judge import SET_ONLY

    columns = [name for name in rows[0] if name not in SET_ONLY]
    write_csv(path, columns, [["" if row[name] is None else row[name] for name in columns] for row in rows])


def contact_sheet(
    data: Path, rows: list[dict], systems: dict[str, Painter], aged: bool = False, far: Far = HERE
) -> Image.Image:
    """The best, median and worst photos by the first weights' CIEDE2000, coloured once more, with their figures."""
    by_file = grouped(rows, lambda row: row["file"])
    by_photo = {file: {row["system"]: row for row in its} for file, its in by_file.items()}
    first, *_ = colored = [name for name in systems if name not in ("grey", "real")]
    order = sorted(by_photo, key=lambda file: by_photo[file][first]["ciede2000"])
    count = min(SHOWN, -(-len(order) // 3))
    middle = (len(order) - count) // 2
    kinds = {"worst": order[-count:], "median": order[middle : middle + count], "best": order[:count]}
    kind_of = {file: kind for kind, files in kinds.items() for file in files}
    chosen = [file for file in order if file in kind_of]
    pictures, captions = {name: [] for name in systems}, []
    for file in chosen:
        far.fetch(data / file)
        grey, real = open_pair(data, file, aged)
        for name, system in systems.items():
            picture = Image.fromarray(system(grey, real))
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
    """Print what one has to know about the figures: what is missing, can't be compared, or was left out."""
    from fastcolor.evaluate.judge import LPIPS_LEAST, MOST_PIXELS

    for sentence in judge.missing:
        print(f"left out: {sentence}")
    of_real = [row for row in rows if row["system"] == "real"]
    count, features = len(of_real), of_real[0]["features"]
    if features is not None and count < 2:
        print("a Frechet distance needs two photos or more")
    elif features is not None and count < len(features):
        few = f"Frechet distances of {count:,} photos on {len(features):,} features"
        print(f"{few}: compare them only with those of as many photos")
    large = sum(row["width"] * row["height"] > MOST_PIXELS for row in of_real)
    if large:
        print(f"{large:,} photos above {MOST_PIXELS / 1e6:g} Mpx were reduced to that size before they were compared")
    for row in of_real:
        if min(row["width"], row["height"]) < LPIPS_LEAST:
            print(f"{printable(row['file'])} is below {LPIPS_LEAST} px: left out of LPIPS")
    for photo, reason in sorted(unreadable):
        print(f"{printable(str(photo))} was left out: {reason}")


def printable(name: str) -> str:
    """A file name that can be printed and drawn anywhere, as ASCII."""
    return os.fsencode(name).decode("ascii", errors="replace")
