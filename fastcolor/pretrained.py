"""Where a generator's first weights come from: ImageNet, another run, or nowhere."""

from dataclasses import replace
from pathlib import Path
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
        theirs = other.config
        if replace(theirs, size=network.config.size) != network.config if hasattr(theirs, "size") else theirs != network.config:
            raise UserError(f"{source} holds another network ({theirs}): give the --generator and --arch that it has")
        network.load_state_dict(other.state_dict())
        return
    arch = network.config.arch
    weights = torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    try:
        network.load_backbone(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except (URLError, ConnectionError, TimeoutError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{arch}'s ImageNet weights can't be fetched ({reason}): put {weights.url} into {file}, "
            "or give --pretrained none, or the path of a weights file of your own"
        ) from None
