"""Quality against time: both pipelines train for the same wall-clock time, and are looked at on the way."""

import sys
import time
from collections.abc import Callable

import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import combined_cos
from fastai.learner import Learner
from torch import Tensor
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from fastcolor.batches import color_batches, cut
from fastcolor.bench import stock
from fastcolor.bench.workplace import Workplace
from fastcolor.cache import take
from fastcolor.device import place, synchronize
from fastcolor.errors import UserError
from fastcolor.generators import build_generator, generator_config
from fastcolor.metrics import colorfulness, psnr
from fastcolor.pretrained import load_pretrained
from fastcolor.report import evaluating
from fastcolor.spaces import SPACES
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.training import Precision

POINTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the time, at which quality is looked at
JUDGED = 64  # held-out photos


class Watch(Callback):
    """Ends a fit after `seconds` of training, the one-cycle schedule stretched to them, and calls `look(seconds, share)` on the way.

    What looking takes is not counted; `begin` is what preparation took.
    """

    order = 100

    def __init__(self, seconds: float, lrs: list[float], look: Callable[[float, float], None], device: torch.device, begin: float):
        self.seconds, self.look, self.device_used, self.spent = seconds, look, device, begin
        self.schedules = [combined_cos(0.25, lr / 25, lr, lr / 1e5) for lr in lrs]  # fit_one_cycle's defaults
        self.points = [point * seconds for point in POINTS]

    def before_fit(self):
        self.mark = time.perf_counter()

    def before_epoch(self):
        self.dls.train.epoch = self.epoch  # other crops in each; fastai's own loaders pay no heed

    def before_batch(self):
        for schedule, hypers in zip(self.schedules, self.opt.hypers, strict=True):
            hypers["lr"] = schedule(min(self.spent / self.seconds, 1.0))

    def after_batch(self):
        synchronize(self.device_used)
        self.spent += time.perf_counter() - self.mark
        passed = [point for point in self.points if point <= self.spent]
        if passed:  # a slow pipeline's batch may pass several
            self.look(self.spent, passed[-1] / self.seconds)
            self.points = self.points[len(passed) :]
        self.mark = time.perf_counter()
        if not self.points:
            raise CancelFitException()

    def before_validate(self):
        raise CancelValidException()


def quality(workplace: Workplace, seconds: float, arch: str, pretrained: str) -> dict:
    """PSNR, LPIPS and colourfulness on held-out photos against seconds of training, stock first, then fastcolor.

    `arch` is the stock network's encoder; both begin with what `pretrained` says. LPIPS (Zhang et al. 2018) is
    torchmetrics', on SqueezeNet features. fastcolor's clock begins with the seconds that its preparation took.
    """
    run = workplace.run
    judge = _lpips(run.device)
    grey, real = _held_out(workplace)
    curves = {}
    for system in ("stock", "fastcolor"):
        torch.manual_seed(run.seed)
        space = SPACES["rgb" if system == "stock" else "lab"]
        learn = _learner(system, workplace, arch, pretrained)
        curve = curves[system] = []

        def look(spent: float, share: float, learn=learn, space=space, curve=curve, system=system) -> None:
            with torch.no_grad(), evaluating(learn.model):
                parts = [space.to_rgb(learn.model(space.inputs(part)).float()) for part in grey.split(32)]
            fake = torch.cat([part.as_subclass(Tensor) for part in parts]).clamp(0, 1)
            point = {"psnr": psnr(fake, real).mean(), "lpips": judge(fake, real), "colorfulness": colorfulness(fake).mean()}
            curve.append({"share": share, "seconds": spent, **{name: float(value) for name, value in point.items()}})
            print(f"{system}: " + ", ".join(f"{name} {value:.4g}" for name, value in curve[-1].items()), flush=True)

        rates = [1e-4 if pretrained == "imagenet" else 1e-3, 1e-3]
        lrs = [rates[0]] * (len(learn.splitter(learn.model)) - 1) + [rates[1]]
        begin = workplace.preparation if system == "fastcolor" else 0.0
        with learn.no_logging():
            learn.fit(sys.maxsize, 1e-3, cbs=Watch(seconds, lrs, look, run.device, begin))
    real_and_grey = {"colorfulness_real": float(colorfulness(real).mean()), "grey": _of_grey(judge, grey, real)}
    about = {"photos": len(real), "arch": arch, "pretrained": pretrained, "preparation": workplace.preparation}
    return {"precision": run.precision, "seconds": seconds, **about, **real_and_grey, "curves": curves}


def _learner(system: str, workplace: Workplace, arch: str, pretrained: str) -> Learner:
    run = workplace.run
    if system == "stock":
        learn = stock.generator_learner(stock.generator_batches(workplace, workplace.bs), arch, pretrained == "imagenet")
    else:
        network = build_generator(generator_config("unet", "resnet18", run.size))
        load_pretrained(network, pretrained)
        learn = generator_learner(color_batches(run, workplace.photos, SPACES["lab"], workplace.bs), place(network, run))
        learn.add_cb(Precision(run))
    learn.remove_cb(ProgressCallback)
    return learn


def _held_out(workplace: Workplace) -> tuple[Tensor, Tensor]:
    """Grey `(N, 1, size, size)` uint8 and colour `(N, 3, size, size)`, 0..1, of the middle of held-out photos."""
    run, photos = workplace.run, workplace.photos
    squares = take(photos.squares, photos.valid[:JUDGED], run.device)
    middle = torch.full((len(squares),), (squares.shape[1] - run.size) // 2, device=run.device)
    crops = cut(squares, middle, middle, torch.zeros_like(middle, dtype=torch.bool), run.size)
    return crops[:, :1], crops[:, 1:] / 255


def _of_grey(judge: Callable, grey: Tensor, real: Tensor) -> dict[str, float]:
    image = grey.expand(-1, 3, -1, -1) / 255
    return {"psnr": float(psnr(image, real).mean()), "lpips": float(judge(image, real))}


def _lpips(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    try:
        return LearnedPerceptualImagePatchSimilarity(net_type="squeeze", normalize=True).to(device)
    except OSError as error:  # URLError is one
        raise UserError(f"LPIPS needs torchvision's SqueezeNet weights, which can't be fetched ({error}): connect once") from None
