"""The four recipes on tiny drawn photos: what they leave, resuming, learning, and what their weights are good for."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import At, during_fit, ends, killed_after, near, prepared, together
from PIL import Image, ImageOps
from safetensors import safe_open
from skimage.color import rgb2lab

from fastcolor import predict
from fastcolor.color.metrics import ab_error
from fastcolor.color.spaces import SPACES
from fastcolor.colorize import export
from fastcolor.data import batches
from fastcolor.data.photos import load_photos
from fastcolor.errors import TrainingFailed, UserError
from fastcolor.evaluate.photos import judge_photos, painters_of
from fastcolor.networks.checkpoint import load_network
from fastcolor.networks.classic import (
    ColorCriticConfig,
    EncoderDecoderConfig,
    PatchGANConfig,
    ResnetConfig,
    SkipUNetConfig,
)
from fastcolor.photo.read import open_photo
from fastcolor.recipes import cyclegan, lab_cgan, lab_gan, pix2pix
from fastcolor.runs.run import open_run
from fastcolor.scenes.folder import write_scenes
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.scenes.paintings import draw_painting
from fastcolor.training import fit
from fastcolor.training.history import warnings

RECIPES = {"pix2pix": pix2pix, "lab_cgan": lab_cgan, "lab_gan": lab_gan, "cyclegan": cyclegan}
COLORIZERS = ["pix2pix", "lab_cgan", "lab_gan"]
CHANNELS = 8  # of the first layers, for 64: everything else is as it is


@pytest.fixture(scope="module", autouse=True)
def thin():
    """All networks with an eighth of their channels."""

    def patchgan(**fields):
        return PatchGANConfig(
            **{**fields, "widths": tuple(w * CHANNELS // 64 for w in fields.get("widths", (64, 128, 256, 512)))}
        )

    with pytest.MonkeyPatch.context() as patch:
        for module in (pix2pix, lab_cgan):
            patch.setattr(module, "SkipUNetConfig", partial(SkipUNetConfig, channels=CHANNELS))
        patch.setattr(lab_gan, "EncoderDecoderConfig", partial(EncoderDecoderConfig, channels=CHANNELS))
        patch.setattr(lab_gan, "ColorCriticConfig", partial(ColorCriticConfig, channels=CHANNELS))
        patch.setattr(cyclegan, "ResnetConfig", partial(ResnetConfig, channels=CHANNELS))
        for module in (pix2pix, lab_cgan):
            patch.setattr(module, "PatchGANConfig", patchgan)
        patch.setattr(cyclegan, "CYCLE_CRITIC", patchgan(**asdict(cyclegan.CYCLE_CRITIC)))
        yield


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory) -> Path:
    """24 drawn photos and 24 paintings of other scenes, 54 px."""
    folder = tmp_path_factory.mktemp("two")
    write_scenes(folder / "photos", 24, 54)
    write_scenes(folder / "paintings", 24, 54, 1, draw_painting)
    return folder


@pytest.fixture(scope="module")
def data(scenes, two_folders) -> dict[str, dict]:
    """What each recipe is given to train on."""
    common = {"device": "cpu", "precision": "fp32"}
    colorizers = {name: {"data": str(scenes), "size": 32, "bs": 4, **common} for name in COLORIZERS}
    colorizers["lab_gan"] |= {"bs": 16, "micro": 8, "save_every": 1, "sample_every": 1}
    folders = {"data": str(two_folders), "folders": "photos,paintings", "size": 48, "bs": 4, "limit": 24, "blocks": 1}
    return {**colorizers, "cyclegan": {**folders, **common}}


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> dict[str, Path]:
    """A finished run of two epochs of each recipe. Not to be written into."""
    root = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch:  # for what it draws see test_curves.py
        patch.setattr(fit, "draw_history", lambda folder: folder.history_picture.touch())
        for name, recipe in RECIPES.items():
            recipe.main(run=str(root / name), epochs=2, **data[name])
    return {name: root / name for name in RECIPES}


def history(run: Path) -> list[dict[str, str]]:
    return open_run(run=str(run)).folder.history()


def files(run: Path, name: str) -> list[Path]:
    return [run / file for file in RECIPES[name].OUTPUTS]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_folder_holds_weights_curves_and_samples(name, runs):
    found = {path.name for path in runs[name].iterdir()}
    of_all = {"config.json", "split.csv", "history.csv", "history.png", "samples", "resume", ".lock"}
    assert found - {"cache"} == {*of_all, *RECIPES[name].OUTPUTS}
    assert {path.name for path in (runs[name] / "samples").iterdir()} == {f"{name}_epoch00{n}.png" for n in (1, 2)}
    assert [path.name for path in (runs[name] / "resume").iterdir()] == [f"{name}.safetensors"]
    assert json.loads((runs[name] / "config.json").read_text())["stages"][name]["finished"]


COLORS = ("colorfulness", "colorfulness_real", "hue_diversity", "hue_diversity_real")
EVERYWHERE = ("psnr", *COLORS, "critic_loss", "gen_adversarial")
COLUMNS = {
    "pix2pix": (*EVERYWHERE, "gen_l1"),
    "lab_cgan": (*EVERYWHERE, "gen_l1", "mean_b", "mean_b_real", "blue_share", "blue_share_real"),
    "lab_gan": EVERYWHERE,
    "cyclegan": (
        "gen_adversarial", "cycle_l1", "identity_l1", "critic_loss", "valid_cycle_l1", "valid_cycle_back_l1",
        "change_l1",
        "colorfulness", "colorfulness_real",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_the_history_has_a_row_for_each_epoch_with_what_was_promised(name, runs):
    rows = history(runs[name])
    assert [(row["stage"], row["epoch"]) for row in rows] == [(name, "1"), (name, "2")]
    for row in rows:
        assert all(np.isfinite(float(row[column])) for column in (*COLUMNS[name], "photos_per_s", "seconds"))


def test_the_warmth_in_the_history_is_that_of_the_photos_photos_of(runs, scenes):
    """Mean b and the share of blue, against scikit-image on the files."""
    run = open_run(run=str(runs["lab_cgan"]))
    photos = prepared(run)
    lab = np.stack([rgb2lab(photos.squares[row, 2:34, 2:34, 1:]) for row in photos.valid])
    row = history(runs["lab_cgan"])[0]
    assert float(row["mean_b_real"]) == pytest.approx(lab[..., 2].mean(), abs=0.05)
    hue, chroma = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360, np.hypot(lab[..., 1], lab[..., 2])
    blue = [
        ((hue[i] >= 200) & (hue[i] <= 300) & (chroma[i] >= 8)).sum() / (chroma[i] >= 8).sum() for i in range(len(lab))
    ]
    assert float(row["blue_share_real"]) == pytest.approx(np.mean(blue), abs=0.01)


def kill_and_resume(name, data, run, epoch=1, **options):
    train = partial(RECIPES[name].main, run=str(run), **{**data[name], **options})
    with killed_after(epoch):
        train()
    train(resume=True)


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_recipe_resumes_to_the_same_weights_file(name, data, runs, tmp_path, monkeypatch):
    if name == "cyclegan":  # a pool that is full before the end of the first epoch, and one that is not
        monkeypatch.setattr(cyclegan.ImagePool.__init__, "__defaults__", (6,))
        cyclegan.main(run=str(tmp_path / "whole"), epochs=3, **data[name])
        whole, epochs = tmp_path / "whole", 3
    else:
        whole, epochs = runs[name], 2
    kill_and_resume(name, data, tmp_path / "run", epochs=epochs)
    for one, other in zip(files(whole, name), files(tmp_path / "run", name), strict=True):
        assert one.read_bytes() == other.read_bytes()
    timed = ("photos_per_s", "seconds", "peak_mb")
    both = [
        [{k: v for k, v in row.items() if k not in timed} for row in history(run)] for run in (whole, tmp_path / "run")
    ]
    assert both[0] == both[1]


def test_an_l1_loss_is_added_to_what_the_critic_of_lab_gan_says(data, runs, tmp_path):
    lab_gan.main(run=str(tmp_path), epochs=1, l1=10.0, **data["lab_gan"])
    first = history(runs["lab_gan"])[0]  # of the same networks and photos
    added = float(history(tmp_path)[0]["gen_loss"]) - float(first["gen_adversarial"])
    space = SPACES["lab_unit"]
    photos = torch.from_numpy(np.array(load_photos(open_run(run=str(tmp_path))).squares)).permute(0, 3, 1, 2)
    chroma = space.image(photos[:, :1], photos[:, 1:])[:, 1:].abs().mean()
    assert added == pytest.approx(10 * float(chroma), rel=0.3)  # new networks paint nearly grey


def test_a_recipe_that_saves_every_second_epoch_resumes_from_there(data, tmp_path):
    options = {"epochs": 4, "save_every": 2, "sample_every": 3}
    lab_gan.main(run=str(tmp_path / "whole"), **{**data["lab_gan"], **options})
    samples = sorted(path.name for path in (tmp_path / "whole/samples").iterdir())
    assert samples == [f"lab_gan_epoch00{n}.png" for n in (3, 4)]
    kill_and_resume("lab_gan", data, tmp_path / "run", epoch=3, **options)
    assert [row["epoch"] for row in history(tmp_path / "run")] == list("1234")
    assert (tmp_path / "run/lab_gan.safetensors").read_bytes() == (tmp_path / "whole/lab_gan.safetensors").read_bytes()


def test_resuming_with_another_objective_is_refused(data, tmp_path):
    with killed_after(1):
        lab_cgan.main(run=str(tmp_path / "run"), epochs=2, **data["lab_cgan"])
    with pytest.raises(UserError, match=r"lab_cgan was begun with other settings \(adversarial\)"):
        run = str(tmp_path / "run")
        lab_cgan.main(run=run, epochs=2, lr=2e-4, adversarial="lsgan", resume=True, **data["lab_cgan"])
    with pytest.raises(UserError, match="holds a begun lab_cgan: give --resume to go on with it"):
        lab_cgan.main(run=str(tmp_path / "run"), epochs=2, **data["lab_cgan"])


def tensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)


def test_cyclegan_trains_both_directions_and_they_differ(runs):
    first, second = (tensors(path) for path in files(runs["cyclegan"], "cyclegan"))
    assert first.keys() == second.keys()
    assert not any(torch.equal(first[name], second[name]) for name in first if first[name].ndim == 4)


def test_cyclegans_learning_rate_falls_in_a_straight_line_after_half_of_the_epochs(data, tmp_path):
    rates = []
    note = At("after_batch", lambda callback: callback.training and rates.append(callback.opt.hypers[0]["lr"]))
    with during_fit(note):
        cyclegan.main(run=str(tmp_path / "run"), epochs=4, **{**data["cyclegan"], "blocks": 0})
    steps = len(rates)
    expected = [2e-4 * min(1, 2 - 2 * n / steps) for n in range(steps)]
    assert rates == pytest.approx(expected, rel=1e-4)


def test_cyclegan_shows_sheets_after_the_described_numbers_of_steps(data, tmp_path, monkeypatch):
    monkeypatch.setattr(cyclegan, "SHEETS", (1, 3))
    cyclegan.main(run=str(tmp_path / "run"), epochs=2, **{**data["cyclegan"], "blocks": 0})
    shown = {path.name for path in (tmp_path / "run/samples").iterdir()}
    assert {"cyclegan_step00001.png", "cyclegan_step00003.png"} <= shown
    sheets = [np.asarray(Image.open(tmp_path / f"run/samples/cyclegan_step0000{n}.png"), int) for n in (1, 3)]
    assert sheets[0].shape[1] == 6 * (48 + 4) + 4  # photo, Monet, back; painting, photo, back
    assert (sheets[0][:, :52] == sheets[1][:, :52]).all()  # the same photos
    assert (sheets[0][:, 56:104] != sheets[1][:, 56:104]).any()


def photos_of(run: Path, space: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey and colour photos of a run as images of a space; grey ones are what a network gives that does nothing."""
    opened = open_run(run=str(run), device="cpu")
    x, y = getattr(batches.color_batches(opened, prepared(opened), SPACES[space]), part).first(100)
    return x.expand_as(y) if space.startswith("rgb") else torch.cat([x, torch.zeros_like(y[:, 1:])], dim=1), y


def test_pix2pix_comes_nearer_to_photos_that_it_has_not_seen(data, tmp_path):
    pix2pix.main(run=str(tmp_path / "run"), epochs=20, lr=2e-3, **data["pix2pix"])
    errors = [float(row["valid_mse"]) for row in history(tmp_path / "run")]
    assert np.median(errors[-10:]) < 0.6 * errors[0]


@pytest.mark.slow
def test_pix2pix_learns_the_colors_of_its_photos(data, tmp_path):
    pix2pix.main(run=str(tmp_path / "run"), epochs=40, lr=2e-3, **{**data["pix2pix"], "bs": 5, "limit": 12})
    rows = history(tmp_path / "run")
    assert float(rows[-1]["gen_l1"]) < 0.7 * float(rows[0]["gen_l1"])
    network, _ = load_network(tmp_path / "run/pix2pix.safetensors", "generator")
    grey, real = photos_of(tmp_path / "run", "rgb_unit", "train")
    with torch.no_grad():
        fake = network(grey)
    left, fresh = (ab_error(*map(SPACES["rgb_unit"].to_lab, (images, real))).mean().item() for images in (fake, grey))
    assert left < 0.85 * fresh


@pytest.mark.parametrize(
    "adversarial", ["bce", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lsgan", "wgan-gp"))]
)
def test_lab_cgan_learns_to_color(adversarial, data, tmp_path):
    epochs = 30 if adversarial == "wgan-gp" else 15  # the generator has every fifth turn alone
    lab_cgan.main(run=str(tmp_path / "run"), epochs=epochs, lr=2e-3, adversarial=adversarial, **data["lab_cgan"])
    errors = [float(row["valid_mse"]) for row in history(tmp_path / "run")]
    grey, real = photos_of(tmp_path / "run", "lab_unit", "valid")
    assert np.mean(errors[-5:]) < 0.85 * (grey - real).square().mean().item()


def test_lab_gan_learns_the_photos_colors_from_its_critic_alone(data, tmp_path):
    """Prints in orange, with little of the scenes' own colours: nothing but the critic says that they are orange."""
    (tmp_path / "prints").mkdir()
    for n in range(24):
        scene = draw_scene(n, 40)
        toned = ImageOps.colorize(scene.convert("L"), (60, 20, 0), (255, 210, 130))
        Image.blend(toned, scene, 0.25).save(tmp_path / f"prints/{n}.png")
    options = {**data["lab_gan"], "data": str(tmp_path / "prints"), "save_every": 50, "sample_every": 50}
    lab_gan.main(run=str(tmp_path / "run"), epochs=50, lr=1e-3, critic_lr=5e-4, **options)
    prints = [open_photo(path) for path in (tmp_path / "prints").iterdir()]
    real = mean_color(prints)
    fake = mean_color([predict(image, tmp_path / "run/lab_gan.safetensors") for image in prints])
    assert np.linalg.norm(fake - real) < 0.5 * np.linalg.norm(real)  # grey would be at 1


def mean_color(images) -> np.ndarray:
    """Mean a and b of pictures."""
    return np.mean([rgb2lab(np.asarray(image))[..., 1:].mean((0, 1)) for image in images], axis=0)


@pytest.mark.slow
def test_cyclegan_learns_the_way_back_and_the_painters_colors(data, two_folders, tmp_path):
    """With a learning rate of 0, the cycle stays within 1 %, and mean colours at half of their distance or more."""
    cyclegan.main(
        run=str(tmp_path / "run"), epochs=14, lr=2e-3, **{**data["cyclegan"], "bs": 2, "limit": None, "blocks": 0}
    )
    rows = history(tmp_path / "run")
    assert float(rows[-1]["cycle_l1"]) < 0.8 * float(rows[0]["cycle_l1"])

    def mean_rgb(pictures) -> np.ndarray:
        return np.mean([np.asarray(picture, float).mean((0, 1)) for picture in pictures], axis=0)

    photos = [open_photo(path) for path in sorted((two_folders / "photos").iterdir())]
    paintings = mean_rgb([open_photo(path) for path in (two_folders / "paintings").iterdir()])
    painted = [predict(photo, tmp_path / "run/photo_to_monet.safetensors") for photo in photos]
    assert np.linalg.norm(mean_rgb(painted) - paintings) < 0.3 * np.linalg.norm(mean_rgb(photos) - paintings)


def test_a_loss_that_is_no_number_ends_a_recipe_before_its_weights_are_spoilt(data, tmp_path):
    with pytest.raises(TrainingFailed, match="no longer a number.*pix2pix anew with --force and a lower --lr"):
        pix2pix.main(run=str(tmp_path / "run"), epochs=3, lr=1e30, **data["pix2pix"])
    assert not (tmp_path / "run/pix2pix.safetensors").exists()


def photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", COLORIZERS)
@pytest.mark.parametrize("size", [(90, 61), (1, 1)])
def test_a_recipes_weights_color_photos_of_any_size_and_keep_their_light(name, size, runs):
    coloured = predict(photo(*size), runs[name] / f"{name}.safetensors")
    assert coloured.size == size
    light = [rgb2lab(np.asarray(image))[..., 0] for image in (photo(*size), coloured)]
    assert np.abs(light[0] - light[1]).mean() < 0.5


@pytest.mark.parametrize("file", cyclegan.OUTPUTS)
def test_cyclegans_weights_change_light_and_keep_size_and_no_strength_is_the_photo(file, runs):
    original = photo(90, 61)
    painted = predict(original, runs["cyclegan"] / file)
    assert painted.size == original.size
    light = [rgb2lab(np.asarray(image))[..., 0] for image in (original, painted)]
    assert np.abs(light[0] - light[1]).mean() > 2
    assert (np.asarray(predict(original, runs["cyclegan"] / file, strength=0.0)) == np.asarray(original)).all()
    _, about = load_network(runs["cyclegan"] / file, "generator")
    assert about["keeps_light"] is False


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_weights_are_measured_on_photos(name, runs, scenes):
    """Colourisers are given grey; CycleGAN the photo as it is."""
    weights = files(runs[name], name)[0]
    painters = painters_of(str(weights), None, size=None, strength=1.0, chroma="auto")

    def judge(fake, real):
        return {"error": np.abs(fake.astype(int) - real).mean()}

    photos = [path.relative_to(scenes) for path in sorted(scenes.iterdir())[:3]]
    rows, unreadable = judge_photos(scenes, photos, painters, judge)
    errors = {row["system"]: row["error"] for row in rows}
    assert not unreadable
    assert len(rows) == 9
    assert errors["real"] == 0 < min(error for system, error in errors.items() if system != "real")
    (system,) = set(errors) - {"grey", "real"}
    real = np.asarray(open_photo(scenes / photos[0]))
    given = real if name == "cyclegan" else np.asarray(open_photo(scenes / photos[0]).convert("L"))
    expected = np.asarray(predict(Image.fromarray(given), weights), int)
    painted = painters[system](np.asarray(Image.fromarray(real).convert("L")), real)
    assert np.abs(painted.astype(int) - expected).mean() < 1


def test_an_onnx_model_of_cyclegan_is_refused_in_one_sentence(runs, tmp_path):
    with pytest.raises(UserError, match="photo_to_monet.safetensors changes photos' light too"):
        export.main(str(tmp_path / "model.onnx"), weights=str(runs["cyclegan"] / "photo_to_monet.safetensors"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pix2pix", {"size": 48}, r"--size must be a power of two for this network \(32, 64, 128, 256\), not 48"),
        ("pix2pix", {"size": 512}, "--size must be a power of two .*, not 512"),
        ("pix2pix", {"epochs": 0}, "--epochs must be 1 or more, not 0"),
        ("pix2pix", {"l1": -1.0}, "--l1 must be 0 or more, not -1.0"),
        ("pix2pix", {"lr": float("nan")}, "--lr must be 0 or more, not nan"),
        ("lab_cgan", {"adversarial": "hinge"}, "--adversarial hinge is unknown: choose bce, lsgan or wgan-gp"),
        ("lab_cgan", {"size": 100}, "--size must be a power of two .*, not 100"),
        ("lab_gan", {"size": 40}, "--size must be a multiple of 16 .*, not 40"),
        ("lab_gan", {"micro": 0}, "--micro must be 1 or more, not 0"),
        ("lab_gan", {"save_every": 0}, "--save-every must be 1 or more, not 0"),
        ("lab_gan", {"bs": 100}, "--bs must be 22 or less, the number of training photos, not 100"),
        ("cyclegan", {"size": 32}, "--size must be 48 or more, not 32"),
        ("cyclegan", {"blocks": -1}, "--blocks must be 0 or more, not -1"),
        ("cyclegan", {"folders": None}, "--folders PHOTOS,PAINTINGS"),
        ("cyclegan", {"folders": "photos"}, "--folders PHOTOS,PAINTINGS"),
        ("cyclegan", {"folders": "photos,photos"}, "--folders PHOTOS,PAINTINGS"),
        ("cyclegan", {"folders": "photos,nowhere"}, "nowhere holds no photos"),
        ("cyclegan", {"identity": -0.1}, "--identity must be 0 or more, not -0.1"),
    ],
)
def test_flags_that_make_no_sense_are_named_and_leave_nothing(name, options, message, data, tmp_path):
    with pytest.raises(UserError, match=message):
        RECIPES[name].main(run=str(tmp_path / "run"), **{"epochs": 1, **data[name], **options})
    assert not (tmp_path / "run").exists()


def test_one_hue_for_all_photos_is_called_a_collapse():
    """Colourful fakes of one hue, beside photos of many; with the photos' own spread nothing is said."""
    row = {"stage": "pix2pix", "epoch": "3", "colorfulness": "40.0", "colorfulness_real": "45.0"}
    row |= {"hue_diversity_real": "0.60000"}
    assert "colour collapse" in warnings({**row, "hue_diversity": "0.02000"})[0]
    assert warnings({**row, "hue_diversity": "0.50000"}) == []


def test_fakes_of_one_hue_collapse_in_the_history_too(data, scenes, tmp_path, monkeypatch):
    """A generator that paints all photos orange, as the known failure does, is found out by the run itself."""
    colors = torch.linspace(0, 300, 24).deg2rad()  # held-out photos of many hues

    def metrics(fake, real, space):
        hues = colors[: len(real)] * 20
        return {
            "colorfulness": torch.full((len(real),), 40.0),
            "colorfulness_real": torch.full((len(real),), 40.0),
            "hue_diversity": torch.tensor([[1.0, 0.0]]).repeat(len(real), 1),
            "hue_diversity_real": torch.stack([hues.cos(), hues.sin()], dim=1),
        }

    monkeypatch.setattr(pix2pix, "image_metrics", metrics)
    pix2pix.main(run=str(tmp_path / "run"), epochs=1, **data["pix2pix"])
    (row,) = history(tmp_path / "run")
    assert float(row["hue_diversity"]) < 1e-5
    assert float(row["hue_diversity_real"]) > 0.1
    assert "colour collapse" in row["warning"]


@pytest.mark.parametrize("name", ["pix2pix", "lab_cgan", "cyclegan"])
def test_a_recipe_trains_on_one_photo_at_a_time(name, data, tmp_path):
    RECIPES[name].main(run=str(tmp_path / "run"), epochs=1, **{**data[name], "bs": 1, "limit": 12})
    row = history(tmp_path / "run")[0]
    assert all(np.isfinite(float(row[column])) for column in COLUMNS[name])


def test_lab_gans_batches_hold_real_and_fake(data, tmp_path):
    with pytest.raises(UserError, match="--bs must be 2 or more, not 1"):
        lab_gan.main(run=str(tmp_path / "run"), **{**data["lab_gan"], "bs": 1})


def test_pix2pix_with_the_resizing_decoder_resumes_and_its_weights_say_so(data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    pix2pix.main(run=str(whole), epochs=2, decoder="resize", **data["pix2pix"])
    kill_and_resume("pix2pix", data, killed, epochs=2, decoder="resize")
    assert (whole / "pix2pix.safetensors").read_bytes() == (killed / "pix2pix.safetensors").read_bytes()
    network, _ = load_network(whole / "pix2pix.safetensors", "generator")
    assert network.config.decoder == "resize"


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_train_it_as_one_does(name, data, runs, tmp_path):
    more = {"lab_gan": {"micro": 5}}.get(name, {})  # 3 and 2 of them; its batch norm then has other photos together
    work = partial(RECIPES[name].main, run=str(tmp_path / "run"), epochs=2, **{**data[name], **more})
    one, other = together(lambda: ends(work))
    assert one == other
    if more:
        work = partial(work, run=str(tmp_path / "alone"))
        work()
    for file in RECIPES[name].OUTPUTS:
        near(tmp_path / "run" / file, (tmp_path / "alone" if more else runs[name]) / file)
