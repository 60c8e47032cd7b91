"""fastai's own networks, with our interface. fastai and torchvision are imported only when one is built."""

import warnings
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.networks.layers import check_arch, pad_to_multiple


@dataclass(frozen=True)
class FastaiCriticConfig:
    """fastai's `gan_critic`, as lesson 7 uses it."""

    name: str = "gan_critic"
    space: str = "lab"


class FastaiCritic(nn.Module):
    """fastai's `gan_critic`: images `(N, 3, H, W)` in, logits `(N, patches)` out. Images below 64 px are enlarged."""

    spaces = ("lab", "rgb")

    def __init__(self, config: FastaiCriticConfig):
        super().__init__()
        from fastai.vision.gan import gan_critic  # imported here, so that the other critic loads without fastai

        self.config = config
        self.critic = gan_critic()

    def forward(self, image: Tensor) -> Tensor:
        # gan_critic halves four times and ends with a 4x4 convolution: below 64 px nothing would be left
        smallest = min(image.shape[-2:])
        return self.critic(
            image if smallest >= 64 else F.interpolate(image, scale_factor=64 / smallest, mode="nearest")
        )


@dataclass(frozen=True)
class DynamicUnetConfig:
    """The network of fastai's `unet_learner`, with lesson 7's arguments: self-attention, blur, weight norm, -3..3."""

    name: str = "dynamic_unet"
    space: str = "rgb"
    arch: str = "resnet34"  # resnet18, resnet34 or resnet50
    size: int = 128  # pixels: DynamicUnet finds the sizes of its layers with an image of this side

    def __post_init__(self):
        check_arch(self, ("resnet18", "resnet34", "resnet50"))


class FastaiUnet(nn.Module):
    """fastai's DynamicUnet: normalised grey RGB in, normalised RGB out, both `(N, 3, H, W)`, any H and W."""

    spaces = ("rgb",)

    def __init__(self, config: DynamicUnetConfig):
        super().__init__()
        # imported here: only this network needs them, and colouring a photo with another should not wait for them
        import torchvision
        from fastai.layers import NormType
        from fastai.torch_core import apply_init
        from fastai.vision.learner import create_body
        from fastai.vision.models.unet import DynamicUnet

        self.config = config
        body = create_body(getattr(torchvision.models, config.arch)(), pretrained=False, cut=-2)
        size, norm = (config.size, config.size), NormType.Weight
        with warnings.catch_warnings():  # torch warns that fastai uses an old form of weight norm
            warnings.simplefilter("ignore", FutureWarning)
            self.unet = DynamicUnet(body, 3, size, blur=True, self_attention=True, y_range=(-3, 3), norm_type=norm)
        apply_init(self.unet[2], nn.init.kaiming_normal_)  # as fastai's create_unet_model does

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load torchvision's weights of `config.arch` into the encoder."""
        body, names = self.unet[0], ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        for name, module in zip(names, body, strict=True):
            module.load_state_dict({k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")})

    def forward(self, x: Tensor) -> Tensor:
        return self.unet(pad_to_multiple(x, 32))[..., : x.shape[-2], : x.shape[-1]]

    def layer_groups(self) -> list[nn.Module]:
        """Encoder, then decoder: fastai freezes the first group."""
        return [self.unet[0], self.unet[1:]]
