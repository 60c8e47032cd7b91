"""Where a generator's first weights come from: ImageNet, another run, or nowhere."""

from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from fastcolor.checkpoint import load_network
from fastcolor.errors import UserError


def load_pretrained(network: nn.Module, source: str) -> None:
    """Fill `network` as `--pretrained` says: "imagenet" (its encoder), "none", or the path of a generator's weights.

    ImageNet's weights are torchvision's, fetched once into torch's hub folder. Raises UserError where they can't be
    had, and for weights of another network.
    """
    if source == "none":
        return
    if source != "imagenet":
        other, _ = load_network(source, "generator")
        if {**asdict(other.config), "size": None} != {**asdict(network.config), "size": None}:
            raise UserError(f"{source} holds another network ({other.config}): give the --generator and --arch that it has")
        network.load_state_dict(other.state_dict())
        return
    arch = network.config.arch
    weights = torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    try:
        network.load_backbone(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except (URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{arch}'s ImageNet weights can't be fetched ({reason}): put {weights.url} into {file}, "
            "or give --pretrained none, or the path of a weights file of your own"
        ) from None
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(f"{file} is damaged, or not {arch}'s weights ({first}): delete it, it is fetched again") from None
