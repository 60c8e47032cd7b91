"""Where networks' first weights come from: those that ship, ImageNet, another run, or nowhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network
from fastcolor.weights import BUNDLED


def load_pretrained(network: nn.Module, source: str) -> None:
    """Fill `network` with what `--pretrained` names.

    "bundled" (the weights that ship), "imagenet" (for its encoder), "none", or the path of a generator's weights.

    Raises UserError where weights can't be fetched or read, and for weights of another network.
    """
    if source == "none":
        return
    if source == "imagenet":
        load_imagenet(network.config.arch, network.load_backbone)
        return
    other, _ = load_network(BUNDLED if source == "bundled" else source, "generator")
    if {**asdict(other.config), "size": None} != {**asdict(network.config), "size": None}:
        raise UserError(f"{source} holds another network ({other.config}): give its --generator and --arch")
    network.load_state_dict(other.state_dict())


def load_imagenet(arch: str, load: Callable[[dict[str, Tensor]], object]) -> None:
    """Call `load` with torchvision's ImageNet weights of an architecture, fetched once into torch's hub folder.

    Raises UserError where they can't be fetched or are damaged.
    """
    from torchvision.models import get_model_weights  # here: colouring a photo must not wait for torchvision

    weights = get_model_weights(arch).IMAGENET1K_V1
    instead = "or give --pretrained bundled, none, or a file of your own"
    with fetched(weights.url, f"{arch}'s ImageNet weights", instead):
        load(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))


@contextmanager
def fetched(url: str, what: str, instead: str = "") -> Iterator[None]:
    """Turn whatever goes wrong in loading weights from `url` into a UserError.

    It names `what` they are, their file, and what to do `instead`.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    try:
        yield
    except OSError as error:  # URLError and the like
        reason = getattr(error, "reason", error)
        advice = ", ".join(filter(None, [f"put {url} into {file}", instead]))
        raise UserError(f"{what} can't be fetched ({reason}): {advice}") from None
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(f"{file} is damaged, or not {what} ({first}): delete it, and it is fetched again") from None
