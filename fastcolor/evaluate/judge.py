"""Judging coloured photos against the real ones, one pair at a time; needs the `evaluate` extra (torchmetrics).

    judge = Judge()
    rows = [judge(fake, real) for fake, real in pairs]           # sRGB (H, W, 3) uint8; only figures are kept
    figures = summarize(rows)

`measure(fakes, reals)` does that, and adds the Frechet distance. LPIPS and Frechet distances need the weights of a
trained network, which are downloaded once.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from skimage.segmentation import felzenszwalb
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.metrics import (
    LEAST_CHROMA,
    blue_share,
    ciede2000,
    colorfulness,
    hue_diversity,
    hue_spread,
    mean_hue,
    psnr,
    skin_error,
)
from fastcolor.color.spaces import IMAGENET_MEAN, IMAGENET_STD
from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.networks.pretrained import fetched, hub_file, load_imagenet
from fastcolor.training.features import Features, feature_distance

LPIPS_NETS = {"squeeze": "squeezenet1_1", "alex": "alexnet"}
"""Networks that LPIPS can use, and torchvision's names for them."""
FRECHET_NAMES = {"inception": "fid", "resnet18": "frechet_resnet18"}
"""Features for the Frechet distance, and the name of the figure: it is the FID only on Inception's."""
INCEPTION = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
LPIPS_LEAST, SSIM_LEAST = 32, 11  # pixels on the short side: five halvings; SSIM's window
MOST_PIXELS = 1_000_000  # larger photos are reduced before they are compared: at 12 Mpx LPIPS would take 10 GB
RESNET_SIDE = 224  # pixels, as in ImageNet's training
RESNET_PIXELS = 200_000  # as photos are seen on a screen; at a megapixel, its layers would take as long as LPIPS
REGION_PIXELS = 40_000  # photos are reduced to this for `hue_spread`: as fine as networks paint, and segmented in 0.1 s
ONE_HUE = 15.0  # degrees: a region of the real photo whose hues spread less has one hue
PALE = 2.0  # of chroma: a region that was painted paler has no hue


class Judge:
    """Judges coloured photos, each against the real one.

    `lpips` is squeeze or alex; `frechet` is inception, resnet18, or auto: inception if its weights have been fetched
    before, else resnet18. `missing` has a sentence for each figure that is left out, as its weights are not there.
    """

    def __init__(self, lpips: str = "squeeze", frechet: str = "auto", device: str = "auto"):
        for flag, value, known in (("lpips", lpips, LPIPS_NETS), ("frechet", frechet, ("auto", *FRECHET_NAMES))):
            if value not in known:
                raise UserError(f"--{flag} {value} is unknown: choose {', '.join(known)}")
        self.device = choose_device(device)
        self.lpips_name = f"lpips_{lpips}"
        self.missing: list[str] = []  # sentences
        self._lpips = self._loaded(partial(load_lpips, self.device, lpips))
        if frechet == "auto":
            frechet = "inception" if hub_file(INCEPTION).is_file() else "resnet18"
        self._features = self._loaded(partial(FEATURES[frechet], self.device))
        self.frechet_name = FRECHET_NAMES[frechet]
        self._resnet18 = self._loaded(lambda: Features("resnet18").to(self.device))
        self._regions: tuple[Tensor | None, Tensor | None] = None, None  # of the last real photo

    def _loaded(self, load: Callable[[], Callable]) -> Callable | None:
        """What `load` returns; None if it can't be had, and `missing` gets the reason."""
        try:
            return load()
        except UserError as error:
            if str(error) not in self.missing:  # two figures may need the same weights
                self.missing.append(str(error))
            return None

    @torch.no_grad()
    def __call__(self, fake: np.ndarray, real: np.ndarray) -> dict[str, float | None | Tensor]:
        """The figures of one photo, both sRGB `(H, W, 3)` uint8, by name.

        `features` are for the Frechet distance, `hue` `(2,)` is for the diversity of hues.

        None where there is no figure: PSNR of equal images, SSIM and LPIPS of photos too small for them.
        """
        if fake.shape != real.shape:
            raise ValueError(f"a photo of {real.shape} can't be judged by one of {fake.shape}")
        fake_rgb, real_rgb = self._tensor(fake), self._tensor(real)
        least, is_equal = min(fake_rgb.shape[2:]), torch.equal(fake_rgb, real_rgb)
        row = {"psnr": None if is_equal else float(psnr(fake_rgb, real_rgb)), "ssim": None}
        if least >= SSIM_LEAST:
            row["ssim"] = ssim(fake_rgb, real_rgb)
        if self._lpips:
            row[self.lpips_name] = None
            if least >= LPIPS_LEAST:  # no network is needed for a 0
                row[self.lpips_name] = 0.0 if is_equal else float(self._lpips(fake_rgb, real_rgb))
        if self._resnet18:
            both = (self._resnet18(_within(rgb, RESNET_PIXELS)) for rgb in (fake_rgb, real_rgb))
            row["resnet18"] = float(feature_distance(*both)) if least >= LPIPS_LEAST else None
        lab = rgb_to_lab(fake_rgb)
        row["ciede2000"] = float(ciede2000(lab, rgb_to_lab(real_rgb)))
        row["colorfulness"] = float(colorfulness(fake_rgb))
        row["colorfulness_difference"] = row["colorfulness"] - float(colorfulness(real_rgb))
        row["colorfulness_abs"] = float(colorfulness(fake_rgb, absolute=True))
        row |= {"mean_b": float(lab[:, 2].mean()), "blue_share": float(blue_share(lab))}
        row["skin_error"] = _or_none(float(skin_error(fake_rgb, real_rgb)))
        row["hue_spread"] = self._hue_spread(fake_rgb, real_rgb)
        return {**row, "hue": mean_hue(lab)[0].cpu(), "features": self.features(fake)}

    @torch.no_grad()
    def features(self, pixels: np.ndarray) -> Tensor | None:
        """What the Frechet distance compares, `(D,)` on the CPU, of a photo, sRGB `(H, W, 3)` uint8."""
        return self._features(self._tensor(pixels))[0].cpu() if self._features else None

    def _hue_spread(self, fake: Tensor, real: Tensor) -> float | None:
        """How far hues differ inside objects that have one hue in the real photo, in degrees: the mean by area.

        None where there are none, or all of them are painted grey.
        """
        fake_lab, real_lab = (rgb_to_lab(_within(rgb, REGION_PIXELS))[0].cpu() for rgb in (fake, real))
        known, regions = self._regions
        if known is None or not torch.equal(known, real_lab):  # it is the same for all systems
            regions = one_hue_regions(real_lab)
            self._regions = real_lab, regions
        spread, chroma = hue_spread(fake_lab, regions)
        area = regions.flatten().bincount() * (chroma >= PALE)
        area[0] = 0
        return float((area * spread).sum() / area.sum()) if area.sum() else None

    def _tensor(self, pixels: np.ndarray) -> Tensor:
        return _within(torch.from_numpy(pixels.copy()).to(self.device).permute(2, 0, 1)[None] / 255, MOST_PIXELS)


def _within(rgb: Tensor, most: int) -> Tensor:
    """An image `(1, 3, H, W)`, reduced to at most so many pixels."""
    scale = (most / (rgb.shape[2] * rgb.shape[3])) ** 0.5
    smaller = [max(1, round(side * scale)) for side in rgb.shape[2:]]
    return rgb if scale >= 1 else F.interpolate(rgb, smaller, mode="bilinear", antialias=True)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def one_hue_regions(lab: Tensor) -> Tensor:
    """The regions of a photo, Lab `(3, H, W)` on the CPU, that have one hue, numbered from 1: `(H, W)` int64; else 0.

    Segmented by Felzenszwalb and Huttenlocher 2004 (scikit-image's), in regions of a hundredth of the photo or more. A
    region has one hue if its hues spread by less than ONE_HUE, and a colour if its mean chroma is LEAST_CHROMA or more.
    """
    height, width = lab.shape[1:]
    pixels = lab.permute(1, 2, 0).numpy() / 100  # the scale is made for colours of 0..1
    found = felzenszwalb(pixels, scale=100, sigma=0.8, min_size=height * width // 100, channel_axis=-1)
    found = torch.from_numpy(found.astype(np.int64))
    spread, chroma = hue_spread(lab, found)
    kept = (spread < ONE_HUE) & (chroma >= LEAST_CHROMA)
    return (kept.cumsum(0) * kept)[found]


def measure(fakes: Iterable[np.ndarray], reals: Iterable[np.ndarray], judge: Judge | None = None) -> dict:
    """The figures of coloured photos against the real ones, sRGB `(H, W, 3)` uint8 of any sizes: see `summarize`."""
    judge = judge or Judge()
    rows, features = [], []
    for fake, real in zip(fakes, reals, strict=True):
        rows.append(judge(fake, real))
        features.append(judge.features(real))
    return {**summarize(rows), judge.frechet_name: frechet_distance([row["features"] for row in rows], features)}


SET_ONLY = ("hue", "features")
"""What Judge gives of a photo that is no figure of it: a figure comes of many together."""


def summarize(rows: list[dict]) -> dict[str, float | None]:
    """Means over `rows` of Judge's figures (of the photos that have them), and the share of the real colourfulness.

    `hue_diversity` is how far the photos differ in hue, 0 to 1; None where all is grey, which has no hue.
    """
    names = [name for name in rows[0] if name not in SET_ONLY]
    values = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    means = {name: float(np.mean(found)) if found else None for name, found in values.items()}
    real = means["colorfulness"] - means["colorfulness_difference"]
    diversity = hue_diversity(torch.stack([row["hue"] for row in rows])) if means["colorfulness"] > 1 else None
    share = means["colorfulness"] / real if real > 0 else None
    return {**means, "colorfulness_share": share, "hue_diversity": diversity}


def ssim(fake: Tensor, real: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) of sRGB images `(1, 3, H, W)`, 0..1, sides from 11 px; by torchmetrics.

    Mean over channels and over the places where the Gaussian window (sigma 1.5, 11 px) is inside the photo.
    """
    _, places = structural_similarity_index_measure(fake, real, data_range=1.0, return_full_image=True)
    edge = SSIM_LEAST // 2  # torchmetrics mirrors the photo there, and counts it
    return float(places[..., edge:-edge, edge:-edge].mean())


def frechet_distance(fakes: list[Tensor | None], reals: list[Tensor | None]) -> float | None:
    """Frechet distance of the Gaussians that fit features `(D,)` of coloured and of real photos.

    Heusel et al. 2017, equation 6; by torchmetrics. None without features or with fewer than two photos. It becomes
    smaller with more photos, mostly below D: compare only figures of the same number of photos.
    """
    if len(fakes) < 2 or fakes[0] is None:
        return None
    as_they_are = nn.Identity()
    as_they_are.num_features = len(fakes[0])
    distance = FrechetInceptionDistance(feature=as_they_are)
    distance.update(torch.stack(fakes), real=False)
    distance.update(torch.stack(reals), real=True)
    return max(float(distance.compute()), 0.0)


def load_lpips(device: torch.device, net: str = "squeeze") -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS (Zhang et al. 2018), torchmetrics': a function of two batches of sRGB images `(N, 3, H, W)`, 0..1.

    Raises UserError if the network's weights can't be loaded.
    """
    url = torchvision.models.get_model_weights(LPIPS_NETS[net]).IMAGENET1K_V1.url
    with fetched(url, f"LPIPS's {net} weights"):
        metric = LearnedPerceptualImagePatchSimilarity(net_type=net, normalize=True).to(device)

    def judge(fake: Tensor, real: Tensor) -> Tensor:
        metric.reset()  # it would keep every score
        return metric(fake, real)

    return judge


def load_resnet18(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Features of sRGB images `(N, 3, H, W)`, 0..1: the means over space after ResNet-18's layer3, `(N, 256)`.

    The middle square, resized to 224 px, normalised as in ImageNet's training. Raises UserError without weights.
    """
    network = torchvision.models.resnet18()
    load_imagenet("resnet18", network.load_state_dict)
    stages = list(network.children())[:-3]  # without layer4, pooling, classifier
    layers = nn.Sequential(*stages).requires_grad_(False).eval().to(device)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def features(rgb: Tensor) -> Tensor:
        height, width = rgb.shape[2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = rgb[:, :, top : top + side, left : left + side]
        square = F.interpolate(square, (RESNET_SIDE, RESNET_SIDE), mode="bilinear", antialias=True)
        return layers((square - mean) / std).mean(dim=(2, 3))

    return features


def load_inception(device: torch.device) -> Callable[[Tensor], Tensor]:
    """The 2,048 features that the FID is defined on, of sRGB images `(N, 3, H, W)`, 0..1; torch-fidelity's network.

    Raises UserError without torch-fidelity or its weights.
    """
    try:
        with fetched(INCEPTION, "the FID's Inception weights"):
            network = FrechetInceptionDistance(feature=2048).inception.to(device)
    except ModuleNotFoundError:
        raise UserError("the FID needs torch-fidelity: `pip install torch-fidelity`, or --frechet resnet18") from None
    return lambda rgb: network((rgb * 255 + 0.5).to(torch.uint8))


FEATURES = {"inception": load_inception, "resnet18": load_resnet18}
