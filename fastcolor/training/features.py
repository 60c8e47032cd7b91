"""What a network trained on ImageNet sees in a photo: distances that are nearer to a person's than a pixel's error."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from fastcolor.color.spaces import IMAGENET_MEAN, IMAGENET_STD
from fastcolor.networks.pretrained import load_imagenet

# Where LPIPS takes SqueezeNet's features: at the end of each of these ranges of torchvision's `features`.
CUTS = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 11), (11, 12), (12, 13))


class Features(nn.Module):
    """The features of a network that was trained on ImageNet: squeezenet1_1 where LPIPS takes them, or resnet18.

    ResNet-18's are those after its first convolution and after layers 1 to 3. Raises UserError if ImageNet's weights
    can't be fetched.
    """

    def __init__(self, arch: str = "squeezenet1_1"):
        super().__init__()
        network = getattr(torchvision.models, arch)()
        load_imagenet(arch, network.load_state_dict)
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # else a later layer would change the features of an earlier one
        if arch == "resnet18":
            stem = nn.Sequential(network.conv1, network.bn1, network.relu)
            layers = [stem, nn.Sequential(network.maxpool, network.layer1), network.layer2, network.layer3]
        else:
            layers = [network.features[begin:end] for begin, end in CUTS]
        self.layers = nn.ModuleList(layers).eval().requires_grad_(False)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def train(self, mode: bool = True) -> "Features":
        """It stays in evaluation mode: batch norm's statistics are ImageNet's."""
        return super().train(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Features of sRGB images `(N, 3, H, W)`, 0..1: for each layer `(N, C, h, w)`, of length 1 at each place."""
        y = ((rgb - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        for layer in self.layers:
            y = layer(y)
            found.append(F.normalize(y.float(), dim=1))
        return found


def feature_distance(fakes: list[Tensor], reals: list[Tensor]) -> Tensor:
    """How far `Features` of images are apart, per photo, `(N,)`: squared, mean over places, summed over layers.

    That is LPIPS (Zhang et al. 2018, equation 1) without its learned weights.
    """
    return sum((a - b).square().sum(1).mean(dim=(1, 2)) for a, b in zip(fakes, reals, strict=True))


def frechet_distance(fakes: Tensor, reals: Tensor) -> float:
    """Frechet distance of the Gaussians that fit features of fakes and of photos, `(n, D)` each.

    Heusel et al. 2017, equation 6. The trace of the root of the product of both covariances is the nuclear norm of the
    product of the centred features, so that no matrix of D x D is needed. It becomes smaller with more photos, mostly
    below D: compare only figures of the same photos. 0 for a single photo.
    """
    fakes, reals = fakes.double(), reals.double()
    apart = (fakes.mean(0) - reals.mean(0)).square().sum()
    fakes, reals = ((each - each.mean(0)) / max(len(each) - 1, 1) ** 0.5 for each in (fakes, reals))
    both = fakes.square().sum() + reals.square().sum()
    return max(float(apart + both - 2 * torch.linalg.matrix_norm(fakes @ reals.T, "nuc")), 0.0)
