"""What fastcolor is compared with: fastai's own pipeline, with the arguments of its lesson 7 (superres-gan).

Photos are decoded from their files in worker processes, augmented by `aug_transforms` (for the generator) and
normalised by ImageNet's statistics. DynamicUnet, `gan_critic` and `GANLearner` are fastai's, in its default precision.
"""

import warnings
from functools import partial
from pathlib import Path

import torchvision
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.layers import NormType
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.optimizer import Adam
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from fastai.vision.gan import AdaptiveLoss, FixedGANSwitcher, GANDiscriminativeLR, GANLearner, gan_critic
from fastai.vision.learner import unet_learner
from torch import nn

from fastcolor.bench.workplace import Workplace

WEIGHT_DECAY = 1e-3


def generator_batches(workplace: Workplace, bs: int) -> DataLoaders:
    """DataLoaders of (grey photo, colour photo), both normalised RGB `(bs, 3, size, size)`."""
    train, valid = workplace.names("train"), workplace.names("valid")
    block = DataBlock(
        blocks=(ImageBlock, ImageBlock),
        get_x=partial(Path, workplace.grey),
        get_y=partial(Path, workplace.colour),
        splitter=IndexSplitter(range(len(train), len(train) + len(valid))),
        item_tfms=Resize(workplace.run.settings.size),
        batch_tfms=[*aug_transforms(max_zoom=2.0), Normalize.from_stats(*imagenet_stats)],
    )
    return block.dataloaders([*train, *valid], bs=bs, device=workplace.run.machine.device)


def critic_batches(workplace: Workplace, bs: int) -> DataLoaders:
    """DataLoaders of (image, label): photos, and grey photos in place of fakes, as they take as long to read."""
    train, valid = workplace.names("train"), workplace.names("valid")
    images = [Path(folder, name) for name in [*train, *valid] for folder in (workplace.colour, workplace.grey)]
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=[workplace.colour.name, workplace.grey.name])),
        get_y=partial(_folder_below, workplace.colour.parent),
        splitter=IndexSplitter(range(2 * len(train), len(images))),
        item_tfms=Resize(workplace.run.settings.size),
        batch_tfms=Normalize.from_stats(*imagenet_stats),
    )
    return block.dataloaders(images, bs=bs, device=workplace.run.machine.device)


def _folder_below(top: Path, path: Path) -> str:
    return path.relative_to(top).parts[0]


def generator_learner(dls: DataLoaders, arch: str = "resnet34", pretrained: bool = False) -> Learner:
    """fastai's `unet_learner`, not frozen."""
    options = {"blur": True, "norm_type": NormType.Weight, "self_attention": True, "y_range": (-3.0, 3.0)}
    with warnings.catch_warnings():  # torch warns that fastai uses an old form of weight norm
        warnings.simplefilter("ignore", FutureWarning)
        learn = unet_learner(
            dls,
            getattr(torchvision.models, arch),
            pretrained=pretrained,
            n_out=3,
            loss_func=MSELossFlat(),
            wd=WEIGHT_DECAY,
            **options,
        )
    learn.unfreeze()
    return learn


def critic_learner(dls: DataLoaders) -> Learner:
    """A Learner of fastai's `gan_critic`."""
    return Learner(dls, gan_critic(), loss_func=AdaptiveLoss(nn.BCEWithLogitsLoss()), wd=WEIGHT_DECAY)


def gan_learner(generator: Learner, critic: Learner) -> GANLearner:
    """fastai's `GANLearner` of both. Each network gets every second batch; lesson 7's switcher follows the losses."""
    return GANLearner.from_learners(
        generator,
        critic,
        weights_gen=(1.0, 50.0),
        switcher=FixedGANSwitcher(1, 1),
        opt_func=partial(Adam, mom=0.0),
        wd=WEIGHT_DECAY,
        cbs=GANDiscriminativeLR(mult_lr=5.0),
    )
