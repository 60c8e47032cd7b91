"""Films that are no film files: folders of numbered frames, and pictures that move."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageSequence

from fastcolor.color.fullsize import recolor, small_grey
from fastcolor.errors import UnreadablePhoto, one_line
from fastcolor.film.frames import HowFilm, Made, Network, colored_frames, from_the_scenes_start
from fastcolor.film.kinds import numbered
from fastcolor.film.pieces import Pieces
from fastcolor.photo.formats import format_of
from fastcolor.photo.metadata import Metadata
from fastcolor.photo.opening import MEMORY
from fastcolor.photo.page import Page, Photo
from fastcolor.photo.read import read_photo
from fastcolor.photo.write import save_photo, write_photo
from fastcolor.photo.xmp import marked

PIECE = 50  # frames, at least, after which it is noted from where a stopped run can go on


class Picture(NamedTuple):
    """A frame that is a picture: its number, its pixels and all else, and as the network sees it."""

    number: int
    page: Page
    small: np.ndarray
    notes: list[str]
    time: float  # seconds; of a folder's frame its number
    shown: float = 0.0  # milliseconds for which a moving picture shows it


def color_frames(folder: Path, target: Path, network: Network, how: HowFilm) -> Made:
    """Colour the numbered frames of a folder into another one, under their names, each as a photo is."""
    names = numbered(folder)
    states = ((folder / name).stat() for name in names)
    settings = {"names": list(map(str, names)), "states": [[each.st_size, each.st_mtime_ns] for each in states]}
    settings |= {"strength": how.strength, **how.settings}
    notes, first = [], read_photo(folder / names[0]).pages[0].pixels
    small = network.size(*first.shape[:2])
    with Pieces(target, settings) as pieces:
        done, _, start = pieces.last() or (0, 0, None)
        since = 0
        read = partial(_pictures, folder, names, shape=first.shape[:2], small=small)
        told = from_the_scenes_start(network, lambda number: read(max(0, int(number))), 1)
        with closing(colored_frames(read(done), told, len(names), done, start, done - 1.0, how.tell)) as coming:
            for frame, ab, key in coming:
                page = _colored(frame.page, ab, how)
                notes += frame.notes + write_photo(Photo([page]), target / names[frame.number])
                since += 1
                if key and since >= PIECE:
                    pieces.add([], since, frame.number, key)
                    since = 0
        pieces.remove()
    return Made(len(names), first.shape[1], first.shape[0], list(dict.fromkeys(notes)))


def _pictures(
    folder: Path, names: list[Path], done: int, shape: tuple[int, int], small: tuple[int, int]
) -> Iterator[Picture]:
    for number, name in enumerate(names[done:], done):
        photo = read_photo(folder / name)
        page = photo.pages[0]
        if page.pixels.shape[:2] != shape:
            sizes = " and ".join(f"{width} x {height}" for height, width in (shape, page.pixels.shape[:2]))
            raise UnreadablePhoto(
                folder / name, f"has another size than the first frame ({sizes}): frames of a film have one"
            )
        yield Picture(number, page, small_grey(page.pixels, *small), photo.notes, number)


def color_moving(source: Path, target: Path, network: Network, how: HowFilm) -> Made:
    """Colour a moving GIF, PNG or WebP into one of these."""
    with Image.open(source, formats=("GIF", "WEBP", "PNG")) as image:
        height, width, count, loop = image.height, image.width, image.n_frames, image.info.get("loop")
        if 4 * height * width * count > MEMORY:
            raise UnreadablePhoto(source, "moves for too long to be held in memory: give a film as result, -o NAME.mp4")
        times, images = [], []
        read = partial(_moments, source, image, network.size(height, width))
        told = from_the_scenes_start(network, lambda time: read(), 1)
        with closing(colored_frames(read(), told, count, tell=how.tell)) as coming:
            for frame, ab, _ in coming:
                page = _colored(frame.page, ab, how)
                picture = Image.fromarray(page.pixels)
                if page.alpha is not None:
                    picture.putalpha(Image.fromarray(page.alpha))
                images.append(picture)
                times.append(frame.shown)
    format, notes = format_of(target), []
    told = Metadata(xmp=marked(None, how.mark, notes) if how.mark and "xmp" in format.holds else None)
    if how.mark and not told.xmp:
        notes.append(f"not marked as coloured by a machine: {format.name} can't hold that")
    if format.loss:
        notes.append(format.loss)
    options = format.options(95, told, min(height, width)) | {"duration": times}
    if loop is not None:
        options["loop"] = loop
    if format.name == "GIF":
        options["disposal"] = 2 if images[0].mode == "RGBA" else 1
    if format.name == "WebP":
        options |= {"lossless": True}
    save_photo(images[0], target, save_all=True, append_images=images[1:], **options)
    return Made(len(images), width, height, notes)


def _moments(source: Path, image: Image.Image, small: tuple[int, int]) -> Iterator[Picture]:
    time = 0.0
    has_alpha = "A" in image.mode or "transparency" in image.info
    try:
        for number, moment in enumerate(ImageSequence.Iterator(image)):
            moment.load()  # a WebP's durations are known only then
            shown = moment.info.get("duration", 0)
            values = np.asarray(moment.convert("RGBA" if has_alpha else "RGB"))
            page = Page(np.ascontiguousarray(values[..., :3]), values[..., 3] if has_alpha else None)
            yield Picture(number, page, small_grey(page.pixels, *small), [], time, shown)
            time += shown / 1000
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnreadablePhoto(source, f"is damaged ({one_line(error)}): save it again") from error


def _colored(page: Page, ab: np.ndarray, how: HowFilm) -> Page:
    pixels = recolor(page.pixels, np.ascontiguousarray(np.moveaxis(ab, -1, 0)), how.strength)
    return Page(pixels, page.alpha, replace(page.metadata, mark=how.mark))
