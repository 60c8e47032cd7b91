"""Quality against time: both pipelines train for the same wall-clock time, and are judged on the way."""

import sys
import time
from collections.abc import Callable

import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import combined_cos
from fastai.learner import Learner
from torch import Tensor

from fastcolor.bench import stock
from fastcolor.bench.workplace import Workplace
from fastcolor.color.metrics import colorfulness, psnr
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches, cut
from fastcolor.data.cache import take
from fastcolor.data.photos import Photos
from fastcolor.device import synchronize
from fastcolor.evaluate.judge import load_lpips
from fastcolor.networks.pretrained import load_pretrained
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import Run
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.training.precision import Precision
from fastcolor.training.report import evaluating

POINTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the time at which quality is judged
JUDGED = 64  # held-out photos


class Watch(Callback):
    """End a fit after `seconds` of training, and call `look(seconds, share)` at POINTS of that time.

    The one-cycle schedule spans the same time. The time for looking is not counted; `begin` is the time, in seconds,
    that preparation took.
    """

    order = 100

    def __init__(
        self, seconds: float, lrs: list[float], look: Callable[[float, float], None], device: torch.device, begin: float
    ):
        self.seconds, self.look, self.device_used, self.spent = seconds, look, device, begin
        self.schedules = [combined_cos(0.25, lr / 25, lr, lr / 1e5) for lr in lrs]  # fit_one_cycle's defaults
        self.points = [point * seconds for point in POINTS]

    def before_fit(self):
        self.mark = time.perf_counter()

    def before_epoch(self):
        self.dls.train.epoch = self.epoch  # new crops in each epoch; fastai's own loaders don't use it

    def before_batch(self):
        for schedule, hypers in zip(self.schedules, self.opt.hypers, strict=True):
            hypers["lr"] = schedule(min(self.spent / self.seconds, 1.0))

    def after_batch(self):
        synchronize(self.device_used)
        self.spent += time.perf_counter() - self.mark
        passed = [point for point in self.points if point <= self.spent]
        if passed:  # one batch of a slow pipeline may pass several points
            self.look(self.spent, passed[-1] / self.seconds)
            self.points = self.points[len(passed) :]
        self.mark = time.perf_counter()
        if not self.points:
            raise CancelFitException()

    def before_validate(self):
        raise CancelValidException()


def quality(workplace: Workplace, seconds: float, arch: str, pretrained: str) -> dict:
    """PSNR, LPIPS and colourfulness on held-out photos against seconds of training: stock first, then fastcolor.

    `arch` is the stock network's encoder; `pretrained` ("none" or "imagenet") is for both. fastcolor's clock begins at
    the seconds that its preparation took.
    """
    run, photos, bs = workplace.run, workplace.photos, workplace.bs
    judged = Judged(run, photos)
    torch.manual_seed(run.settings.seed)
    learn = stock.generator_learner(stock.generator_batches(workplace, bs), arch, pretrained == "imagenet")
    curves = {"stock": judged.curve("stock", learn, SPACES["rgb"], seconds, pretrained)}
    learn = our_learner(run, photos, bs, pretrained)
    curves["fastcolor"] = judged.curve("fastcolor", learn, SPACES["lab"], seconds, pretrained, workplace.preparation)
    about = {"arch": arch, "pretrained": pretrained, "preparation": workplace.preparation}
    return {"precision": run.machine.precision, "seconds": seconds, **about, **judged.reference, "curves": curves}


def transfer(run: Run, photos: Photos, bs: int, seconds: float) -> dict:
    """As `quality`, of fastcolor's generator alone: from random weights, ImageNet's encoder, the lean weights."""
    judged = Judged(run, photos)
    curves = {}
    for pretrained in ("none", "imagenet", "lean"):
        learn = our_learner(run, photos, bs, pretrained)
        curves[pretrained] = judged.curve(pretrained, learn, SPACES["lab"], seconds, pretrained)
    return {
        "precision": run.machine.precision,
        "seconds": seconds,
        "trained_on": len(photos.train),
        **judged.reference,
        "curves": curves,
    }


def our_learner(run: Run, photos: Photos, bs: int, pretrained: str) -> Learner:
    """A Learner of fastcolor's generator as in stage 1, with the first weights that `pretrained` names."""
    torch.manual_seed(run.settings.seed)
    network = build(UNetConfig())
    load_pretrained(network, pretrained)
    learn = generator_learner(color_batches(run, photos, SPACES["lab"], bs), run.machine.place(network))
    learn.add_cb(Precision(run))
    return learn


class Judged:
    """Held-out photos that judge networks while they train. `reference` has the figures of grey and of the photos.

    LPIPS (Zhang et al. 2018) is torchmetrics', on SqueezeNet features.
    """

    def __init__(self, run: Run, photos: Photos):
        self.device, self.lpips = run.machine.device, load_lpips(run.machine.device)
        squares = take(photos.squares, photos.valid[:JUDGED], run.machine.device)
        middle = torch.full((len(squares),), (squares.shape[1] - run.settings.size) // 2, device=run.machine.device)
        crops = cut(squares, middle, middle, torch.zeros_like(middle, dtype=torch.bool), run.settings.size)
        self.grey, self.real = crops[:, :1], crops[:, 1:] / 255
        grey = self.grey.expand(-1, 3, -1, -1) / 255
        of_real = {"photos": len(self.real), "colorfulness_real": float(colorfulness(self.real).mean())}
        self.reference = {**of_real, "grey": self._figures(grey)}

    def curve(
        self, name: str, learn: Learner, space, seconds: float, pretrained: str, begin: float = 0.0
    ) -> list[dict]:
        """Train for `seconds`, of which `begin` have already passed. Returns the figures at POINTS of that time."""
        points = []

        def look(spent: float, share: float) -> None:
            with torch.no_grad(), evaluating(learn.model):
                parts = [space.to_rgb(learn.model(space.inputs(part)).float()) for part in self.grey.split(32)]
            fake = torch.cat([part.as_subclass(Tensor) for part in parts]).clamp(0, 1)
            points.append({"share": share, "seconds": spent, **self._figures(fake)})
            print(f"{name}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in points[-1].items()), flush=True)

        if pretrained == "lean":
            look(0.0, 0.0)  # what these weights can do without training is of most interest
        rates = [1e-3 if pretrained == "none" else 1e-4, 1e-3]
        lrs = [rates[0]] * (len(learn.splitter(learn.model)) - 1) + [rates[1]]
        learn.remove_cb(ProgressCallback)
        with learn.no_logging():
            learn.fit(sys.maxsize, 1e-3, cbs=Watch(seconds, lrs, look, self.device, begin))
        return points

    def _figures(self, fake: Tensor) -> dict[str, float]:
        figures = {
            "psnr": psnr(fake, self.real).mean(),
            "lpips": self.lpips(fake, self.real),
            "colorfulness": colorfulness(fake).mean(),
        }
        return {name: float(value) for name, value in figures.items()}
