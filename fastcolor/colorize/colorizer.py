"""From a photo to a coloured photo: the network colours a small picture, the photo keeps its own size and light.

Everything that colours photos goes through `Colorizer`. It needs numpy and Pillow, and what its engine needs:
onnxruntime or torch.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from hashlib import sha256
from math import nan
from pathlib import Path
from warnings import warn

import numpy as np
from PIL import Image

from fastcolor.color.cie import lightness_of
from fastcolor.color.fullsize import recolor, small_grey
from fastcolor.colorize.engine import Engine
from fastcolor.colorize.guided import guided
from fastcolor.colorize.hints import FilmHint, FilmLike, Hint, check_hints, pulled_in
from fastcolor.colorize.like import Reference, hints_like, reference_of
from fastcolor.colorize.listening import Suggestion, listen
from fastcolor.colorize.load import load_engine
from fastcolor.colorize.options import check_options
from fastcolor.colorize.prepared import Prepared
from fastcolor.colorize.record import mark_of, weights_of
from fastcolor.colorize.tiles import translated
from fastcolor.errors import UserError
from fastcolor.film.kinds import check_packages
from fastcolor.photo.metadata import told_of_result
from fastcolor.photo.read import as_rgb, open_photo
from fastcolor.photo.tone import is_in_color
from fastcolor.weights import weights_file

CHROMA = {"auto": "bilinear", "bilinear": "bilinear", "guided": "guided"}
BATCH = 16  # small pictures that the network sees at once in `Colorizer.batch`


def predict(
    photo: str | Path | Image.Image,
    weights: str | Path | None = None,
    *,
    size: int | None = None,
    strength: float = 1.0,
    chroma: str = "auto",
    device: str = "auto",
    hints: Sequence[Hint] = (),
    like: str | Path | Image.Image | None = None,
) -> Image.Image:
    """Colour one photo. For several, make one `Colorizer` and call that: it loads the network only once.

    Arguments:
      photo (str, Path or PIL.Image.Image): A photo's file, of any kind that `fastcolor colorize` reads, or an image of
        any mode.
      weights, size, strength, chroma, device: See `Colorizer`.
      hints, like: See `Colorizer.__call__`.

    Returns:
      (PIL.Image.Image): The coloured photo, 8-bit RGB (sRGB), upright, in the photo's own size. Its `info` holds EXIF,
        resolution and XMP (with the mark that a machine coloured it): `picture.save(path, **picture.info)` keeps them,
        XMP as JPEG and WebP.

    Raises:
      UnreadablePhoto: The file is missing, broken, or not a photo.
      UserError: The weights can't be used, or an option has a value that does not exist.
    """
    colorizer = Colorizer(weights, size=size, strength=strength, chroma=chroma, device=device)
    return colorizer(photo, hints=hints, like=like)


class Colorizer:
    """Colours photos with one network, which is loaded once. Several threads may call it at the same time.

    The network sees a photo's lightness, reduced, and gives its colours; the photo keeps its own lightness and size.
    CycleGAN's weights are different (`keeps_light` is False): they see the photo's colours and change its light too.

    Arguments:
      weights (str, Path or None): A generator's `.safetensors` file that a stage or a recipe wrote, a run folder (for
        its best weights), or the `.onnx` file that `fastcolor export` wrote. Default None, or "bundled": the weights
        that come with fastcolor.
      size (int or None): The photo's short side, in pixels, as the network sees it, 32 or more. Default None: the size
        that the network was trained at; where `keeps_light` is False, the photo's own.
      strength (float): 0 to 1. 0 leaves the photo as it is, 1 takes the network's colours, what is between mixes the
        two. Default 1.
      chroma (str): How colours are enlarged to the photo's size: "bilinear", "guided" (they follow the photo's edges:
        fast guided filter, He and Sun 2015), or "auto", the one that was measured to be better. Default "auto".
      device (str): "cpu", "cuda", "mps" or "auto". Default "auto": the CPU where onnxruntime can run the weights (see
        `load`), else the first of cuda, mps and cpu that there is. `.onnx` files always run on the CPU.

    Attributes:
      engine (Engine): What runs the network; `engine.name` says it in words.
      keeps_light (bool): Whether the photo's own lightness stays.
      size, strength: The defaults of each call. `size` is None where a photo is seen at its own size.

    Raises:
      UserError: The weights can't be used, or an option has a value that does not exist.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        size: int | None = None,
        strength: float = 1.0,
        chroma: str = "auto",
        device: str = "auto",
    ):
        if chroma not in CHROMA:
            raise UserError(f"chroma {chroma!r} is unknown: choose {', '.join(CHROMA)}")
        check_options(size, strength)
        self.engine = load_engine(weights_file(weights), device)
        self._device = device
        self._mark = mark_of(weights_of(weights))
        self.keeps_light = self.engine.keeps_light
        self.size = size or (self.engine.size if self.keeps_light else None)
        self.strength, self.chroma = strength, CHROMA[chroma]

    @cached_property
    def listener(self) -> Engine:
        """The same weights, run so that they take hints; loaded when first needed. Raises UserError if they can't."""
        return load_engine(self.engine.weights, self._device, listens=True)

    def __call__(
        self,
        photo: str | Path | Image.Image,
        *,
        size: int | None = None,
        strength: float | None = None,
        hints: Sequence[Hint] = (),
        like: str | Path | Image.Image | Reference | None = None,
    ) -> Image.Image:
        """Colour one photo.

        Arguments:
          photo (str, Path or PIL.Image.Image): A photo's file, of any kind that `open_photo` reads, or an image of any
            mode.
          size (int or None): As for the class, for this call alone. Default None: the Colorizer's own.
          strength (float or None): Likewise.
          hints (sequence of Hint): Colours of places, of which the network makes the rest. A later one covers earlier
            ones. Of a colour that does not exist at the photo's lightness there, a warning tells.
          like (a photo as above, in colour, or a Reference): Colours like those of this photo, where both show alike
            things. Hints come on top.

        Returns:
          (PIL.Image.Image): The coloured photo, 8-bit RGB (sRGB), upright, in the photo's own size.

        Raises:
          UnreadablePhoto: The file is missing, broken, or not a photo.
          UserError: `size` or `strength` is out of range, the network gives no colours or takes no hints, or `like` has
            no colours.
        """
        if not hints and like is None:
            return self.batch([photo], size=size, strength=strength)[0]
        image, notes = _opened(photo), []
        pixels = self.pixels(np.asarray(image), size=size, strength=strength, hints=hints, like=like, notes=notes)
        for note in notes:
            warn(note, stacklevel=2)
        return self._finished(image, pixels)

    def batch(
        self,
        photos: Iterable[str | Path | Image.Image],
        *,
        size: int | None = None,
        strength: float | None = None,
    ) -> list[Image.Image]:
        """Colour several photos, faster than one by one: photos of the same shape go through the network together.

        Arguments:
          photos (iterable): Photos as in `__call__`. All are in memory at the same time.
          size, strength: As in `__call__`, for all of them.

        Returns:
          (list of PIL.Image.Image): The coloured photos, in the same order; each as in `__call__`.

        Raises:
          UnreadablePhoto, UserError: As in `__call__`. Nothing is returned then.
        """
        images = [_opened(photo) for photo in photos]
        colored = self._colored([np.asarray(image) for image in images], size, strength)
        return [self._finished(image, pixels) for image, pixels in zip(images, colored, strict=True)]

    def _finished(self, image: Image.Image, pixels: np.ndarray) -> Image.Image:
        """The result of a photo, with what is kept of it."""
        result = Image.fromarray(pixels)
        result.info = told_of_result(image.info, image.size, self._mark)
        return result

    def pixels(
        self,
        pixels: np.ndarray,
        *,
        size: int | None = None,
        strength: float | None = None,
        hints: Sequence[Hint] = (),
        like: str | Path | Image.Image | Reference | None = None,
        notes: list[str] | None = None,
    ) -> np.ndarray:
        """Colour one photo that is an array, at 8 or 16 bits.

        Arguments:
          pixels (np.ndarray): sRGB, `(H, W)` or `(H, W, 3)`, uint8 (0..255) or uint16 (0..65535). Of colours only the
            lightness is used, where `keeps_light` is True.
          size, strength, hints, like: As in `__call__`.
          notes (list of str): Gets a sentence for each hint whose colour does not exist at the photo's lightness there.

        Returns:
          (np.ndarray): sRGB, `(H, W, 3)`, of the same dtype.

        Raises:
          UserError: As in `__call__`.
        """
        if not hints and like is None:
            return self._colored([pixels], size, strength)[0]
        check_hints(hints)
        size, strength = self._options(size, strength)
        lightness = self._light(pixels, size)
        if notes is not None:
            notes += pulled_in(hints, lightness)
        if like is not None:
            reference = like if isinstance(like, Reference) else self.reference(like)
            hints = [*hints_like(self.listener, lightness, reference), *hints]
        ab = listen(self.listener, lightness, hints).ab
        return recolor(pixels, self._maps(lightness[None, None], ab[None])[0], strength)

    def film(
        self,
        source: str | Path,
        target: str | Path,
        *,
        codec: str | None = None,
        crf: int | None = None,
        deinterlace: bool = False,
        hints: Sequence[FilmHint | FilmLike] = (),
        like: str | Path | Image.Image | Reference | None = None,
        settings: dict | None = None,
        mark: bool = True,
        tell: Callable[[int, int, float], None] | None = None,
    ) -> "Made":  # noqa: F821 (imported when a film is coloured)
        """Colour a film, a picture that moves, or a folder of numbered frames. Needs `pip install 'fastcolor[video]'`.

        A stopped call can be made again: it goes on with what is finished, and ends in the same frames.

        Arguments:
          source (str or Path): A film of any kind that ffmpeg reads, a moving GIF, PNG or WebP, or a folder whose
            photos are the frames, in the order of the numbers in their names.
          target (str or Path): The coloured film: .mp4, .m4v, .mov, .mkv or .webm. Of a moving picture also .gif, .png
            or .webp, of a folder a folder.
          codec (str or None): "h264", "hevc", "vp9", "av1" or "ffv1". Default None: "h264", in .webm "vp9".
          crf (int or None): Quality, 0 is best. Default None: the one at which the codec looks like the source.
          deinterlace (bool): Put the two fields of interlaced frames together. Default False.
          hints (sequence of FilmHint and FilmLike): Colours of places at moments, and photos for scenes.
          like (a photo in colour, or a Reference): See `__call__`; for all scenes that have no FilmLike.
          settings (dict or None): What else the colours depend on: another call goes on only if it is the same.
          mark (bool): Say in the film that a machine coloured it. Default True.
          tell (callable or None): Gets, twice a second, how many frames are done, about how many there are, and
            frames/s. Default None: a line is printed.

        Returns:
          (Made): How many frames, of what size, and notes on what is not as in the source.

        Raises:
          UnreadablePhoto: The source is missing, or is no film.
          UserError: A package is missing, the weights repaint the light, or the film can't be written as asked.
          OSError: The disk is full.
        """
        check_packages()
        check_hints(hints, (FilmHint, FilmLike))
        if not self.keeps_light:
            raise UserError(f"{self.engine.weights} repaints a photo's light: films need weights that keep it")
        from fastcolor.film.back import Moment
        from fastcolor.film.make import HowFilm, Network, color_job

        reference = like if like is None or isinstance(like, Reference) else self.reference(like)
        told = [self.reference(hint.like) if isinstance(hint, FilmLike) else hint for hint in hints]
        paint = partial(self._frame, told, reference)
        places = [(nan, nan) if isinstance(hint, FilmLike) else (hint.x, hint.y) for hint in hints]
        moments = [Moment(hint.time, *place, i) for i, (hint, place) in enumerate(zip(hints, places, strict=True))]
        network = Network(paint, lambda height, width: working_size(height, width, self.size), moments)
        settings = {"size": self.size, "weights": self._mark.version, **(settings or {})}
        settings["hints"] = [_digest(each) if isinstance(each, Reference) else repr(each) for each in told]
        settings |= {} if reference is None else {"like": _digest(reference)}
        how = HowFilm(codec, crf, deinterlace, self.strength, self._mark if mark else None, settings, tell)
        return color_job(Path(source), Path(target), network, how)

    def _frame(
        self, told: Sequence[FilmHint | Reference], reference: Reference | None, grey: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        """a and b of a small frame; of each point x, y in its pixels and the number of what is told: see `Network`."""
        lightness, hints = lightness_of(grey), []
        for place, number in zip((points[:, :2] / grey.shape[::-1]).clip(0, 1), points[:, 2], strict=True):
            hint = told[int(number)]
            if isinstance(hint, Reference):
                reference = hint
            else:
                hints.append(Hint(*map(float, place), hint.color, hint.radius))
        if reference is not None:
            hints = [*hints_like(self.listener, lightness, reference), *hints]
        ab = listen(self.listener, lightness, hints).ab if hints else self.engine(lightness[None, None])[0]
        return np.ascontiguousarray(np.moveaxis(ab, 0, -1))

    def suggest(self, photo: str | Path | Image.Image, x: float, y: float, n: int = 9) -> list[Suggestion]:
        """The likeliest colours of a place, at most `n`, the likeliest first; `x` and `y` are those of `Hint`.

        Raises UserError for a place outside, and for weights that take no hints.
        """
        return self.prepare(photo).suggest(x, y, n)

    def prepare(self, photo: str | Path | Image.Image, side: int = 1280, size: int | None = None) -> Prepared:
        """A photo for many changes of its hints: previews of at most `side` pixels on the long side, suggestions.

        Raises UserError for a photo that can't be read, and for weights that take no hints.
        """
        image = _opened(photo)
        lightness = self._light(np.asarray(image), self.size if size is None else size)
        small = image.copy()  # the image may be the caller's
        small.thumbnail((side, side))
        return Prepared(self.listener, np.asarray(small), lightness, self._maps, self.strength)

    def reference(self, photo: str | Path | Image.Image, size: int | None = None) -> Reference:
        """A photo in colour, ready to be given to many others as `like`, which are seen at the same `size`.

        Raises UserError if it is grey or toned.
        """
        image = _opened(photo)
        pixels = np.asarray(image)
        if not is_in_color(pixels):
            name = "the reference" if isinstance(photo, Image.Image) else photo
            raise UserError(f"{name} has no colours to take over: give a reference photo that is in colour")
        lightness = self._light(pixels, self.size if size is None else size)
        small = image.convert("RGB").resize(lightness.shape[::-1], Image.Resampling.BOX)
        return reference_of(self.listener, np.asarray(small), lightness)

    def _options(self, size: int | None, strength: float | None) -> tuple[int | None, float]:
        size = self.size if size is None else size
        strength = self.strength if strength is None else strength
        check_options(size, strength)
        return size, strength

    def _light(self, pixels: np.ndarray, size: int | None) -> np.ndarray:
        """L, `(h, w)` float32, as the network sees a photo."""
        self.listener  # noqa: B018 (it raises for weights that see photos otherwise)
        return lightness_of(small_grey(pixels, *working_size(*pixels.shape[:2], size)))

    def _maps(self, lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
        return guided(lightness, ab) if self.chroma == "guided" else ab

    def _colored(self, photos: list[np.ndarray], size: int | None, strength: float | None) -> list[np.ndarray]:
        size, strength = self._options(size, strength)
        if not self.keeps_light:
            return [translated(each, self.engine, size, strength) for each in photos]
        lights = [lightness_of(small_grey(each, *working_size(*each.shape[:2], size)))[None] for each in photos]
        alike = defaultdict(list)
        for i, light in enumerate(lights):
            alike[light.shape].append(i)
        for rows in alike.values():
            for part in (rows[k : k + BATCH] for k in range(0, len(rows), BATCH)):
                lightness = np.stack([lights[i] for i in part])
                maps = self._maps(lightness, self.engine(lightness))
                for i, one in zip(part, maps, strict=True):
                    photos[i] = recolor(photos[i], one, strength)
        return photos


def _digest(reference: Reference) -> str:
    return sha256(reference.ab.tobytes()).hexdigest()[:12]


def _opened(photo: str | Path | Image.Image) -> Image.Image:
    return as_rgb(photo) if isinstance(photo, Image.Image) else open_photo(photo)


def working_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width, in pixels, at which the network looks at a photo: the short side is `size`, as in training.

    Panoramas are squeezed to four times that: a strip of 1x5000 px must not become one of 128x640,000.
    """
    scale = size / min(height, width)
    return min(round(height * scale), 4 * size), min(round(width * scale), 4 * size)
