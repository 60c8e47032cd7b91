"""ICC profiles: pixels in the colour space that their file names become sRGB.

littleCMS, which comes with Pillow, does it for 8 bits a channel, but Pillow can't use it for 16. Those are worked out
here, for profiles of curves and a matrix: Adobe RGB, Display P3, ProPhoto, nearly all of cameras, screens and editors.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The colour spaces that profiles of photos are for, and Pillow's modes for them."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_CODES = 1 << 20  # steps in the table of linear light: at black sRGB is steepest, 13 times as steep as linear


@dataclass(frozen=True)
class Profile:
    """A profile that is not sRGB. `mode` is the Pillow mode of the pixels it is for: RGB, L or CMYK."""

    name: str
    mode: str
    data: bytes
    transform: ImageCms.ImageCmsTransform

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """An image in `mode`, 8 bits a channel, as sRGB in mode RGB."""
        if self.mode == "L":
            steps = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
            return Image.fromarray(np.asarray(ImageCms.applyTransform(steps, self.transform))[0].take(image, axis=0))
        return ImageCms.applyTransform(image, self.transform)

    def deep_to_srgb(self, pixels: np.ndarray) -> None:
        """Turn uint16 `(H, W)` or `(H, W, 3)` pixels into sRGB, in place. Raises ValueError for a profile of tables."""
        curves, matrix, codes = _deep_tables(self.data)
        for rows in np.array_split(pixels, 1 + (pixels.size >> 20)):  # in strips: floats take many times the memory
            if pixels.ndim == 2:
                linear = curves[-1][rows]  # for an RGB profile all curves are alike, or neutral would not be neutral
            else:
                linear = np.stack([curve[rows[..., n]] for n, curve in enumerate(curves)], axis=-1) @ matrix.T
            rows[...] = codes[(linear.clip(0, 1) * (_CODES - 1) + 0.5).astype(np.int32)]


@lru_cache(16)
def load_profile(data: bytes) -> Profile | None:
    """The profile in `data`; None for one that is sRGB, whatever its name. Raises ValueError if it can't be used."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        mode = MODES[profile.profile.xcolor_space.strip()]
        # of grey, littleCMS would tabulate 33 steps, too few where it is dark
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB", flags=flags)
    except (OSError, KeyError, TypeError, ImageCms.PyCMSError) as error:
        raise ValueError("the ICC profile is broken, or not for photos") from error
    if mode != "CMYK" and _changes_nothing(transform, mode):
        return None
    name = re.sub(r"[^\w().,+-]+", " ", profile.profile.profile_description or "").strip()
    return Profile(name[:60] or "without a name", mode, data, transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    levels = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3) if mode == "RGB" else steps[:, None]
    shown = np.asarray(ImageCms.applyTransform(Image.fromarray(levels), transform), dtype=int)
    return np.abs(shown - levels.reshape(len(levels), 1, -1)).max() <= 1


def lab_to_srgb(lab: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """L 0..100, a and b (white D50, as in TIFF and ICC) `(..., 3)` as sRGB of a dtype: ICC.1:2022, annex A."""
    f = (lab[..., 0] + 16) / 116
    roots = np.stack([f + lab[..., 1] / 500, f, f - lab[..., 2] / 200], axis=-1)
    xyz = _unrooted(roots) * np.array([0.9642, 1, 0.8249])
    linear = xyz @ np.linalg.inv(_primaries(_SRGB.profile)).T
    deep = _srgb_codes()[(linear.clip(0, 1) * (_CODES - 1) + 0.5).astype(np.int32)]
    return deep if dtype == np.uint16 else ((deep.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _unrooted(roots: np.ndarray) -> np.ndarray:
    """What Lab takes the cube root of, as a share of white's."""
    return np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 3 * (6 / 29) ** 2)


def rgb_profile(gamma: float | None, corners: tuple[float, ...] | None) -> bytes:
    """An ICC profile of an exponent and, with `corners`, x and y of white, red, green and blue; else grey.

    For `gamma` None it has sRGB's curve: IEC 61966-2-1.

    Colours are brought to D50 by Bradford's matrix, as ICC.1:2022, annex E, has it. Raises ValueError.
    """

    def numbers(values: np.ndarray) -> bytes:
        if not (np.abs(values) < 4).all():  # nan, too
            raise ValueError("these are no colours")
        return b"XYZ \0\0\0\0" + np.round(np.asarray(values) * 65536).astype(">i4").tobytes()

    d50 = np.array([0.9642, 1, 0.8249])
    if gamma is None:
        values = (round(65536 * value) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        curve = b"para\0\0\0\0" + struct.pack(">Hxx5l", 3, *values)
    else:
        curve = b"curv\0\0\0\0" + struct.pack(">LHxx", 1, min(65535, round(gamma * 256)))
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">L", 4) + b"PNG\0" + bytes(78), b"cprt": b"text\0\0\0\0-\0\0\0"}
    tags |= {b"wtpt": numbers(d50)}
    if corners:
        with np.errstate(all="ignore"):
            white, *primaries = ((x / y, 1, (1 - x - y) / y) for x, y in zip(corners[::2], corners[1::2], strict=True))
            columns = np.array(primaries).T
            try:
                columns = columns * np.linalg.solve(columns, np.array(white))
                cones = _BRADFORD @ np.array(white)
                columns = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ d50 / cones) @ _BRADFORD @ columns
            except np.linalg.LinAlgError:
                raise ValueError("these are no colours") from None
        for letter, column in zip("rgb", columns.T, strict=True):
            tags |= {f"{letter}XYZ".encode(): numbers(column), f"{letter}TRC".encode(): curve}
    else:
        tags[b"kTRC"] = curve
    table, body = b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">LL", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = b"none" + struct.pack(">L", 0x02400000) + b"mntr" + (b"RGB " if corners else b"GRAY") + b"XYZ " + bytes(12)
    head += b"acsp" + bytes(28) + numbers(d50)[8:]
    rest = head.ljust(124, b"\0") + struct.pack(">L", len(tags)) + table + body
    return struct.pack(">L", 4 + len(rest)) + rest


_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@lru_cache(4)
def _deep_tables(data: bytes) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Curves from 65,536 codes to linear light, the matrix to linear sRGB, and sRGB's codes of `_CODES` steps of light.

    ICC.1:2022, F.3 (three-component matrix-based profiles) and F.2 (monochrome ones). Primaries of both profiles are
    relative to D50, so one matrix leads from one to the other; sRGB's are littleCMS's own.
    """
    profile = ImageCms.ImageCmsProfile(BytesIO(data)).profile
    if not profile.is_matrix_shaper or profile.clut[ImageCms.Intent.PERCEPTUAL][0]:
        raise ValueError("the ICC profile has lookup tables")
    names = ("rTRC", "gTRC", "bTRC") if profile.xcolor_space == "RGB " else ("kTRC",)
    try:
        with np.errstate(all="ignore"):
            curves = [_curve(data, name) for name in names]
    except (struct.error, LookupError) as error:
        raise ValueError("the ICC profile is broken") from error
    if not np.isfinite(curves).all():
        raise ValueError("the ICC profile is broken")
    matrix = np.linalg.inv(_primaries(_SRGB.profile)) @ _primaries(profile) if len(names) == 3 else np.eye(1)
    if profile.connection_space.strip() == "Lab" and len(names) == 1:  # its curve gives L, not Y
        curves = [_unrooted((100 * curve + 16) / 116).astype(np.float32) for curve in curves]
    return curves, matrix.astype(np.float32), _srgb_codes()


@lru_cache(1)
def _srgb_codes() -> np.ndarray:
    """sRGB's codes, uint16, of `_CODES` steps of linear light."""
    srgb = _curve(_SRGB.tobytes(), "gTRC")
    return (np.interp(np.linspace(0, 1, _CODES), srgb, np.arange(65536)) + 0.5).astype(np.uint16)


def _primaries(profile: ImageCms.core.CmsProfile) -> np.ndarray:
    return np.array([profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]]).T


def _curve(data: bytes, tag: str) -> np.ndarray:
    """The tone curve in a profile's tag, at 65,536 codes, float32: ICC.1:2022, 10.6 (curv) and 10.18 (para)."""
    (tags,) = struct.unpack_from(">L", data, 128)
    start = {name: start for name, start, _ in struct.iter_unpack(">4sLL", data[132 : 132 + 12 * tags])}[tag.encode()]
    codes = np.linspace(0, 1, 65536)
    if data[start : start + 4] == b"curv":
        (count,) = struct.unpack_from(">L", data, start + 8)
        values = np.frombuffer(data, ">u2", count, start + 12)
        if count < 2:  # one value is an exponent of 8 + 8 bits, none is a straight line
            return (codes ** (values[0] / 256 if count else 1)).astype(np.float32)
        return np.interp(codes, np.linspace(0, 1, count), values / 65535).astype(np.float32)
    (kind,) = struct.unpack_from(">H", data, start + 8)
    numbers = np.frombuffer(data, ">i4", (1, 3, 4, 5, 7)[kind], start + 12) / 65536
    g, a, b, c, d, e, f = {
        0: lambda g: (g, 1, 0, 0, 0, 0, 0),
        1: lambda g, a, b: (g, a, b, 0, -b / a, 0, 0),
        2: lambda g, a, b, c: (g, a, b, 0, -b / a, c, c),
        3: lambda g, a, b, c, d: (g, a, b, c, d, 0, 0),
        4: lambda *all_seven: all_seven,
    }[kind](*numbers)
    power = (a * codes + b).clip(min=0) ** g + e
    return np.where(codes >= d, power, c * codes + f).astype(np.float32)
