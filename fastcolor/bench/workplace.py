"""What benchmarks work on: the same photos for both pipelines, in folders that are deleted afterwards."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from fastcolor.data.batches import BATCH
from fastcolor.data.photos import Photos, load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.photo.folders import convert_folder
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.prep.greyscale import mirror_grey
from fastcolor.runs.run import Run, open_run
from fastcolor.scenes.folder import write_scenes

SCENES, SCENE_SIDE = 640, 176  # drawn scenes, and their side in pixels, if no --data is given


@dataclass
class Workplace:
    """The photos as upright files and a grey copy of each, for stock fastai, and loaded into a run of fastcolor."""

    colour: Path
    grey: Path
    run: Run
    photos: Photos
    preparation: float  # seconds that fastcolor took to decode and load the photos

    def names(self, part: str) -> list[str]:
        """The files of the photos to train on ("train") or held out ("valid")."""
        return [self.photos.names[row] for row in getattr(self.photos, part)]

    @property
    def bs(self) -> int:
        """Photos per batch, for benchmarks in which both pipelines use the same."""
        return self.run.bs if isinstance(self.run.bs, int) else BATCH


@contextmanager
def workplace(data: str | None, **options) -> Iterator[Workplace]:
    """Prepare the photos of `data`, or drawn scenes, for both pipelines; `options` are flags of `open_run`.

    fastai ignores EXIF orientation, so it gets upright copies. Raises UserError for photos that don't fill three
    batches.
    """
    with tempfile.TemporaryDirectory(prefix="fastcolor-bench-") as top:
        folder, colour, grey = Path(data or Path(top, "scenes")), Path(top, "colour"), Path(top, "grey")
        if data is None:
            _draw_jpegs(Path(top, "drawn"), folder)
        run = open_run(data=str(folder), run=str(Path(top, "run")), **options)
        run.cache = Path(top, "cache")
        begin = time.perf_counter()
        prepare_photos(run)
        photos = load_photos(run)
        preparation = time.perf_counter() - begin
        made = Workplace(colour, grey, run, photos, preparation)
        if len(photos.train) < 3 * made.bs:
            raise UserError(
                f"{folder} holds only {len(photos.train)} photos to train on: give a folder with at least "
                f"{3 * made.bs}, for batches of {made.bs}, or a smaller --bs"
            )
        print(f"making upright copies and grey copies of {len(photos.names):,} photos, for the stock pipeline")
        chosen = [Path(name) for name in made.names("train") + made.names("valid")]
        convert_folder(folder, colour, _upright, photos=chosen)
        mirror_grey(colour, grey, photos=chosen)
        yield made


def _draw_jpegs(drawn: Path, folder: Path) -> None:
    write_scenes(drawn, SCENES, SCENE_SIDE)
    for scene in drawn.iterdir():
        save_photo(open_photo(scene), folder / f"{scene.stem}.jpg")


def _upright(photo: Path, copy: Path) -> None:
    with Image.open(photo) as image:
        is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if is_upright:  # the same file: encoding it again could change how long it takes to decode
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, copy)
    else:
        save_photo(open_photo(photo), copy)
