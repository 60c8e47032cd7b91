"""Judging coloured photos: every figure against another implementation, and the command over folders good and bad."""

import csv
import json
import sys
from functools import cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchmetrics
import torchvision
from PIL import Image
from scipy.linalg import sqrtm
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchvision.models._api import WeightsEnum
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import functional as transforms

from fastcolor.cli import run_command
from fastcolor.color.lab import grey_of
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.colorize.hints import Hint
from fastcolor.errors import UserError
from fastcolor.evaluate import command as evaluate
from fastcolor.evaluate import judge as perceptual
from fastcolor.evaluate import photos as examined
from fastcolor.evaluate.judge import Judge, frechet_distance, measure
from fastcolor.evaluate.photos import open_pair
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.pretrained import load_imagenet
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.remote.far import Far
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.training import features
from fastcolor.weights import BUNDLED, weights_file

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def backbones():
    """Networks with random weights, the same ones each time: real ones are a download."""

    @cache
    def drawn(name):
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None).state_dict()

    def random_weights(weights, *args, **kwargs):
        name = {"SqueezeNet1_1_Weights": "squeezenet1_1", "ResNet18_Weights": "resnet18"}[type(weights).__name__]
        return dict(drawn(name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightsEnum, "get_state_dict", random_weights)
        patch.setattr(features, "load_imagenet", load_imagenet)
        yield


@pytest.fixture(scope="module")
def judge(backbones) -> Judge:
    return Judge(frechet="resnet18", device="cpu")


def photo(seed: int, width: int = 48, height: int = 48) -> np.ndarray:
    return np.array(draw_scene(seed, max(width, height)).crop((0, 0, width, height)))


def faded(pixels: np.ndarray) -> np.ndarray:
    """Half of the colours."""
    grey = grey_of(torch.from_numpy(pixels).permute(2, 0, 1)).numpy()[..., None]
    return ((pixels.astype(int) + grey) // 2).astype(np.uint8)


class Painter:
    """Stands in for Colorizer: adds red, or with weights as many parts of blue as their name says."""

    keeps_light = True

    def __init__(self, weights=None, size=None, strength=1.0, chroma="auto", device="auto"):
        self.color = np.array([60, 0, 0] if weights is None else [0, 0, int(Path(weights).stem)])

    def pixels(self, pixels: np.ndarray, hints: list[Hint]) -> np.ndarray:
        assert pixels.ndim == 2 and pixels.dtype == np.uint8 and not hints
        return np.clip(pixels[..., None] + self.color, 0, 255).astype(np.uint8)


@cache
def judge_of(lpips, frechet, weights) -> Judge:
    """A judge takes half a second to build; it remembers nothing that counts."""
    return Judge(lpips, frechet)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Three photos in `a`, two in `b`, of several sizes."""
    monkeypatch.setattr(examined, "Colorizer", Painter)
    monkeypatch.setattr(perceptual, "RESNET_SIDE", 32)  # fast
    monkeypatch.setattr(perceptual, "Judge", lambda *names: judge_of(*names, WeightsEnum.get_state_dict))
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        path = tmp_path / "photos" / ("a" if number < 3 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(number, 40 + 4 * number, 48)).save(path)
    return tmp_path / "photos"


def evaluated(folder: Path, **options) -> dict:
    evaluate.main(data=str(folder), **{"frechet": "resnet18", "force": True, **options})
    return json.loads(Path("evaluation/evaluation.json").read_text())


def test_every_figure_of_a_photo_equals_scikit_images(judge):
    real = photo(1, 60, 44)
    fake = faded(real)
    row = judge(fake, real)
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(real, fake), rel=1e-5)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # Wang et al. 2004
    assert row["ssim"] == pytest.approx(structural_similarity(real, fake, channel_axis=2, **gaussian), abs=1e-4)
    assert row["ciede2000"] == pytest.approx(deltaE_ciede2000(rgb2lab(real), rgb2lab(fake)).mean(), rel=1e-3)
    r, g, b = fake.astype(float).transpose(2, 0, 1)
    opponents = np.stack([r - g, (r + g) / 2 - b])  # Hasler and Suesstrunk 2003, M3
    for name, its in (("colorfulness", opponents), ("colorfulness_abs", abs(opponents))):
        expected = np.linalg.norm(its.std((1, 2))) + 0.3 * np.linalg.norm(its.mean((1, 2)))
        assert row[name] == pytest.approx(expected, rel=1e-4)
    more = row["colorfulness"] - judge(real, real)["colorfulness"]
    assert row["colorfulness_difference"] == pytest.approx(more, rel=1e-5)


def test_equal_photos_differ_by_nothing(judge):
    row = judge(photo(1), photo(1))
    assert (row["psnr"], row["ssim"], row["lpips_squeeze"], row["ciede2000"]) == (None, pytest.approx(1), 0, 0)


def test_one_object_in_two_colors_has_a_hue_spread_and_one_in_another_color_has_none(judge):
    real, other, mottled = (np.full((96, 96, 3), 128, np.uint8) for _ in range(3))
    disc = (np.indices((96, 96)) - 48).__pow__(2).sum(0) < 30**2
    left = np.arange(96) < 48
    real[disc], other[disc], mottled[disc] = (150, 90, 60), (60, 120, 70), (150, 90, 60)
    mottled[disc & left] = (70, 90, 150)
    spreads = [judge(fake, real)["hue_spread"] for fake in (real, other, mottled)]
    assert max(spreads[:2]) < 12
    assert spreads[2] > 45
    grey = np.full((96, 96, 3), 128, np.uint8)
    assert judge(grey, real)["hue_spread"] is None  # no hue
    assert judge(grey, grey)["hue_spread"] is None  # no object


def test_layers_of_resnet18_judge_photos_too(judge):
    row = judge(photo(1), photo(1))
    assert row["resnet18"] == 0
    assert judge(photo(2), photo(1))["resnet18"] > judge(faded(photo(1)), photo(1))["resnet18"] > 0


def test_lpips_is_that_of_the_paper(judge):
    """Zhang et al. 2018, equation 1, worked out here on SqueezeNet's seven places with LPIPS's own weights."""
    real = photo(1, 64, 48)
    fake = faded(real)
    network = torchvision.models.squeezenet1_1(weights="IMAGENET1K_V1").features.eval()
    file = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/squeeze.pth"
    linear = torch.load(file, "cpu", weights_only=True)
    # Its normalisation, of values -1..1: it is not quite ImageNet's.
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features = []
    for pixels in (fake, real):
        x = ((torch.from_numpy(pixels) / 127.5 - 1 - shift) / scale).permute(2, 0, 1)[None]
        places = []
        for number, layer in enumerate(network):
            x = layer(x)
            if number in (1, 4, 7, 9, 10, 11, 12):
                places.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-8))
        features.append(places)
    expected = sum(
        ((one - other).square() * linear[f"lin{n}.model.1.weight"]).sum(1).mean()
        for n, (one, other) in enumerate(zip(*features, strict=True))
    )
    assert judge(fake, real)["lpips_squeeze"] == pytest.approx(expected.item(), rel=1e-3)


def test_resnet_features_are_those_after_layer3_of_the_middle_square(judge):
    pixels = photo(3, 80, 48)
    square = transforms.center_crop(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, 48)
    inputs = transforms.normalize(transforms.resize(square, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = torchvision.models.resnet18(weights="IMAGENET1K_V1").eval()
    expected = create_feature_extractor(network, ["layer3"])(inputs)["layer3"].mean((2, 3))[0]
    assert len(expected) == 256
    np.testing.assert_allclose(judge.features(pixels), expected.detach(), rtol=1e-3, atol=1e-4)


def test_frechet_distance_equals_scipys():
    rng = np.random.default_rng(0)
    fakes, reals = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)), rng.normal(1, 2, size=(50, 8))
    covariances = np.cov(fakes, rowvar=False), np.cov(reals, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((fakes.mean(0) - reals.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    distance = frechet_distance(list(torch.from_numpy(fakes)), list(torch.from_numpy(reals)))
    assert distance == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_moved_features_is_the_way_squared():
    reals = list(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)))
    moved = [features + torch.tensor([3.0, 0, 4.0, 0]) for features in reals]
    assert frechet_distance(moved, reals) == pytest.approx(25, rel=1e-4)
    assert frechet_distance(reals, reals) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(reals[:1], reals[:1]) is None


def test_measure_takes_pairs_of_any_sizes_one_at_a_time(judge):
    reals = [photo(n, 40 + 8 * n, 40) for n in range(3)]
    figures = measure((faded(real) for real in reals), iter(reals), judge)
    rows = [judge(faded(real), real) for real in reals]
    assert figures["ciede2000"] == pytest.approx(np.mean([row["ciede2000"] for row in rows]))
    assert figures["colorfulness_share"] == pytest.approx(0.5, abs=0.02)
    expected = frechet_distance([row["features"] for row in rows], [judge.features(real) for real in reals])
    assert figures["frechet_resnet18"] == pytest.approx(expected) and expected > 0


def test_large_photos_are_reduced_before_they_are_compared(judge, monkeypatch):
    # Columns that differ in turn by 0 and 100 differ, reduced to half, by 50 each: 20 log10(255 / 50) = 14.15 dB
    real = np.full((64, 64, 3), 100, np.uint8)
    fake = real.copy()
    fake[:, ::2] += 100
    monkeypatch.setattr(perceptual, "MOST_PIXELS", 32 * 32)
    assert judge(fake, real)["psnr"] == pytest.approx(14.15, abs=0.5)


def test_what_a_photo_is_too_small_for_is_left_out(judge):
    assert judge(photo(1, 31, 60), photo(2, 31, 60))["lpips_squeeze"] is None
    assert judge(photo(1, 31, 60), photo(2, 31, 60))["ssim"] is not None
    tiny = judge(photo(1, 1, 60), photo(2, 1, 60))
    assert tiny["ssim"] is None and tiny["ciede2000"] > 0


def test_a_folder_is_evaluated_beside_grey_and_real(folder, capsys):
    result = evaluated(folder)
    assert result["photos"] == 5
    assert {name: folder["photos"] for name, folder in result["folders"].items()} == {"a/": 3, "b/": 2}
    systems = result["systems"]
    assert list(systems) == ["grey", "bundled", "real"]
    assert systems["grey"]["colorfulness"] == 0 and systems["grey"]["colorfulness_share"] == 0
    assert systems["real"]["ciede2000"] == 0 and systems["real"]["colorfulness_share"] == 1
    assert systems["real"]["frechet_resnet18"] == pytest.approx(0, abs=1e-4)
    assert systems["grey"]["ciede2000"] != systems["bundled"]["ciede2000"]
    assert systems["bundled"]["seconds"] > 0 and systems["grey"]["seconds"] is None
    with open("evaluation/evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    of_grey = [row for row in rows if row["system"] == "grey"]
    assert np.mean([float(row["psnr"]) for row in of_grey]) == pytest.approx(systems["grey"]["psnr"])
    real = np.array(Image.open(folder / of_grey[0]["file"]))
    grey = np.dstack([grey_of(torch.from_numpy(real).permute(2, 0, 1))] * 3)
    assert float(of_grey[0]["psnr"]) == pytest.approx(peak_signal_noise_ratio(real, grey), rel=1e-5)
    of_b = [float(row["ciede2000"]) for row in rows if row["system"] == "bundled" and row["file"].startswith("b")]
    assert np.mean(of_b) == pytest.approx(result["folders"]["b/"]["systems"]["bundled"]["ciede2000"])
    printed = capsys.readouterr().out
    assert f"{systems['bundled']['ciede2000']:.2f}" in printed and "b/, 2 photos" in printed
    assert "Frechet distances of 5 photos on 256 features: compare them only with" in printed


def test_warmth_blue_and_hues_are_those_of_the_pictures(folder):
    systems = evaluated(folder)["systems"]
    lab = [rgb2lab(np.array(Image.open(file).convert("RGB"))) for file in sorted(folder.rglob("*.png"))]
    real = systems["real"]
    assert real["mean_b"] == pytest.approx(np.mean([each[..., 2].mean() for each in lab]), abs=0.05)
    hues = np.array([each[..., 1:].mean(axis=(0, 1)) for each in lab])
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    assert real["hue_diversity"] == pytest.approx(1 - np.linalg.norm(hues.mean(axis=0)), abs=0.01)
    shares = []
    for each in lab:
        hue, chroma = np.degrees(np.arctan2(each[..., 2], each[..., 1])) % 360, np.hypot(each[..., 1], each[..., 2])
        shares.append(((hue >= 200) & (hue <= 300) & (chroma >= 8)).sum() / max((chroma >= 8).sum(), 1))
    assert real["blue_share"] == pytest.approx(np.mean(shares), abs=0.01)
    assert systems["grey"]["hue_diversity"] is None and systems["grey"]["blue_share"] == 0


def test_results_are_compared_with_pictures_that_are_no_partners_of_theirs(folder):
    systems = evaluated(folder, target=str(folder))["systems"]
    for its in systems.values():  # the target is the photos themselves here
        assert its["frechet_target"] == pytest.approx(its["frechet_resnet18"], abs=1e-3)
    other = evaluated(folder, target=str(folder / "a"))["systems"]["real"]
    assert other["frechet_target"] > other["frechet_resnet18"] + 1e-3


def test_two_weights_are_compared_and_a_path_tells_them_apart(folder):
    for file in ("one/9.safetensors", "other/90.safetensors", "9.safetensors"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).touch()  # the stand-in reads nothing but the name
    result = evaluated(folder, weights="one/9.safetensors", against="other/90.safetensors")
    systems = result["systems"]
    assert list(systems) == ["grey", "one/9", "other/90", "real"]
    assert systems["grey"]["colorfulness"] < systems["one/9"]["colorfulness"] < systems["other/90"]["colorfulness"]
    with pytest.raises(UserError, match="compared with itself"):
        evaluated(folder, weights="9.safetensors", against="./9.safetensors")


def test_a_network_at_strength_0_is_as_good_as_grey(folder, monkeypatch):
    monkeypatch.setattr(examined, "Colorizer", Colorizer)
    torch.manual_seed(0)
    save_network("random.safetensors", build(UNetConfig()), "generator", size=32)
    without = evaluated(folder, weights="random.safetensors", strength=0.0, limit=2)["systems"]
    grey, colored = without["grey"], without["random"]
    assert colored["seconds"] > 0
    assert {**colored, "seconds": None} == pytest.approx(grey)
    painted = evaluated(folder, weights="random.safetensors", limit=2)["systems"]
    assert painted["grey"] == without["grey"] and painted["random"]["colorfulness"] > 0


def test_the_sheet_shows_the_best_the_median_and_the_worst(folder, monkeypatch):
    for number in range(15):  # red ones differ the less from red-painted grey, the fewer of them are turned to blue
        pixels = np.full((40, 40, 3), (150, 90, 90), np.uint8)
        pixels[:number] = (90, 90, 150)
        Image.fromarray(pixels).save(folder / "a" / f"red{number:02}.png")
    for file in folder.rglob("?.png"):
        file.unlink()
    kept = {}

    def sheet(columns, captions):
        kept.update(columns=columns, captions=captions)
        return Image.new("L", (9, 9))

    monkeypatch.setattr(evaluate, "sheet", sheet)
    evaluated(folder)
    kinds, files = zip(*((line.partition(":")[0], int(line[-6:-4])) for line in kept["captions"]), strict=True)
    assert kinds == ("best",) * 4 + ("median",) * 4 + ("worst",) * 4
    assert files == (0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14)
    assert list(kept["columns"]) == ["grey", "bundled", "real"]
    assert kept["columns"]["real"][0].mean((1, 2)).tolist() == pytest.approx([150 / 255, 90 / 255, 90 / 255], abs=1e-3)


def test_photos_of_a_split_are_chosen_by_their_part(folder):
    Path("split.csv").write_text("file,part\na/0.png,train\na/1.png,test\nb/3.png,test\nb/4.png,valid\n")
    evaluated(folder, names="split.csv")
    with open("evaluation/evaluation.csv", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {"a/1.png", "b/3.png"}
    assert evaluated(folder, names="split.csv", part="valid")["photos"] == 1
    with pytest.raises(UserError, match="no photos of --part tset: choose test, train, valid"):
        evaluated(folder, names="split.csv", part="tset")


def test_a_limit_takes_the_same_photos_each_time(folder):
    chosen = [evaluate.choose_photos(folder, None, "test", 3, Far()) for _ in range(2)]
    assert chosen[0] == chosen[1] == sorted(chosen[0]) and len(chosen[0]) == 3


def test_parts_make_together_the_figures_of_one_command(folder, capsys, monkeypatch):
    (folder / "a/broken.jpg").write_text("no photo")
    alone = evaluated(folder, target=str(folder / "b"))
    parts = {"target": str(folder / "b"), "out": "parts", "force": False}
    for number in (1, 2):
        evaluate.main(data=str(folder), frechet="resnet18", **parts, shard=f"{number}/3")
    assert {path.name for path in Path("parts").iterdir()} <= {"part-1-of-3.pt", "part-2-of-3.pt"}
    before = {path: path.read_bytes() for path in Path("parts").iterdir()}
    capsys.readouterr()
    evaluate.main(data=str(folder), frechet="resnet18", **parts, shard="1/3")
    assert "0 photos judged" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in Path("parts").iterdir()}
    with pytest.raises(UserError, match=r"parts/part-\d-of-3.pt is part of another evaluation, .* \(aged\): delete it"):
        evaluate.main(data=str(folder), frechet="resnet18", **parts, aged=True)
    judged = []
    open_pair = examined.open_pair
    monkeypatch.setattr(examined, "open_pair", lambda *given: judged.append(given[1]) or open_pair(*given))
    evaluate.main(data=str(folder), frechet="resnet18", **parts)
    assert 0 < len(judged) < 5  # the third part, which nobody had done
    together = json.loads(Path("parts/evaluation.json").read_text())
    for figures in (*alone["systems"].values(), *together["systems"].values()):
        figures.pop("seconds", None)
    assert together["systems"] == alone["systems"]
    assert together["photos"] == alone["photos"] == 5
    names = {"evaluation.json", "evaluation.csv", "contact_sheet.png", "unreadable.csv"}
    assert {path.name for path in Path("parts").iterdir()} == names


def test_a_part_that_is_none_is_named(folder):
    Path("evaluation").mkdir()
    Path("evaluation/part-1-of-2.pt").write_bytes(b"no part")
    with pytest.raises(UserError, match="evaluation/part-1-of-2.pt is no part of an evaluation: delete it"):
        evaluated(folder)


def test_unreadable_and_small_photos_are_named_and_do_not_stop_the_others(folder, capsys):
    (folder / "a" / "broken.jpg").write_text("no photo")
    Image.fromarray(photo(7, 20, 20)).save(folder / "b" / "small.png")
    result = evaluated(folder)
    assert result["photos"] == 6
    printed = capsys.readouterr().out
    assert "a/broken.jpg was left out: is not a JPEG" in printed.replace("\\", "/")
    assert "small.png is below 32 px: left out of LPIPS" in printed
    assert "broken.jpg" in Path("evaluation/unreadable.csv").read_text()


def test_a_single_photo_has_no_frechet_distance(folder, capsys):
    assert evaluated(folder, limit=1)["systems"]["grey"]["frechet_resnet18"] is None
    assert "a Frechet distance needs two photos or more" in capsys.readouterr().out


def test_without_backbone_weights_the_other_figures_are_still_had(folder, monkeypatch, capsys):
    def offline(*args, **kwargs):
        raise URLError("no connection")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    figures = evaluated(folder)["systems"]["bundled"]
    assert figures["ciede2000"] > 0 and "lpips_squeeze" not in figures and figures["frechet_resnet18"] is None
    printed = capsys.readouterr().out
    assert "LPIPS's squeeze weights can't be fetched (no connection): put https://download.pytorch.org/" in printed
    assert "LPIPS squeeze" not in printed and "CIEDE2000" in printed


def test_damaged_backbone_weights_are_named(folder, monkeypatch, capsys):
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *args, **kwargs: {})
    evaluated(folder)
    assert "resnet18-f37072fd.pth is damaged" in capsys.readouterr().out


def test_results_of_an_earlier_evaluation_are_not_overwritten_unasked(folder):
    evaluated(folder, limit=2)
    before = Path("evaluation/evaluation.csv").read_bytes()
    with pytest.raises(UserError, match="evaluation.json is there already: give --force to replace it"):
        evaluate.main(data=str(folder), frechet="resnet18")
    assert Path("evaluation/evaluation.csv").read_bytes() == before


def test_a_run_folder_stands_for_its_best_weights(tmp_path):
    assert weights_file("bundled") == weights_file() == BUNDLED
    for name in ("stage3_critic", "stage1_gen", "stage4_gen"):
        (tmp_path / f"{name}.safetensors").touch()
    assert weights_file(tmp_path) == tmp_path / "stage4_gen.safetensors"
    (tmp_path / "other").mkdir()
    for name in ("monet_to_photo", "photo_to_monet"):
        (tmp_path / "other" / f"{name}.safetensors").touch()
    assert weights_file(tmp_path / "other").stem == "photo_to_monet"


def test_the_fid_is_measured_where_its_network_is_there(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    checkpoints = tmp_path / "home" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / perceptual.INCEPTION.rpartition("/")[2]).touch()
    monkeypatch.setitem(perceptual.FEATURES, "inception", lambda device: lambda rgb: rgb.mean((2, 3)))
    systems = evaluated(folder, frechet="auto")["systems"]
    assert systems["bundled"]["fid"] > 0 and "frechet_resnet18" not in systems["bundled"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": None}, "give a folder of photos with --data"),
        ({"data": "nowhere"}, "nowhere does not exist"),
        ({"limit": 0}, "--limit must be 1 or more, not 0"),
        ({"lpips": "vgg"}, "--lpips vgg is unknown: choose squeeze, alex"),
        ({"frechet": "fid"}, "--frechet fid is unknown: choose auto, inception, resnet18"),
        ({"names": "none.csv"}, "none.csv does not exist: give a run's split.csv"),
        ({"out": "photos/out"}, "is inside the photo folder"),
        ({"weights": "none.safetensors"}, "none.safetensors does not exist"),
        ({"weights": "photos"}, "photos holds no weights to colour with"),
        ({"against": "bundled"}, "bundled would be compared with itself"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, options, message):
    with pytest.raises(UserError, match=message):
        evaluate.main(**{"data": str(folder), **options})
    assert not Path("evaluation").exists()


def test_a_csv_file_of_other_columns_is_refused(folder):
    Path("other.csv").write_text("name,reason\na/0.png,tiny\n")
    with pytest.raises(UserError, match="not a CSV file with the columns file and part"):
        evaluated(folder, names="other.csv")


def test_without_torchmetrics_one_sentence_names_the_extra(folder, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "fastcolor.evaluate.judge")
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    assert run_command(evaluate.main, ["--data", str(folder)], prog="fastcolor evaluate") == 2
    assert capsys.readouterr().err.strip() == (
        "fastcolor evaluate: evaluating needs torchmetrics: run `pip install 'fastcolor[evaluate]'`"
    )


def test_old_prints_share_their_light_with_the_real_photo_beside_them(tmp_path):
    """What is judged on an old print is colour: both pictures have its light, the real one its own colours."""
    draw_scene(3, 120).save(tmp_path / "a.png")
    grey, real = open_pair(tmp_path, Path("a.png"), aged=True)
    clean, photo = open_pair(tmp_path, Path("a.png"), aged=False)
    assert np.abs(grey.astype(int) - clean).mean() > 5
    lab, light, colors = rgb2lab(real), rgb2lab(np.dstack([grey] * 3))[..., 0], rgb2lab(photo)
    assert np.abs(lab[..., 0] - light).mean() < 0.5
    alike = [np.corrcoef(lab[..., c].ravel(), colors[..., c].ravel())[0, 1] for c in (1, 2)]
    assert min(alike) > 0.8
    assert np.array_equal(open_pair(tmp_path, Path("a.png"), aged=True)[0], grey)
