"""The benchmark: what it counts, that both pipelines really train, and that the READMEs show exactly its figures."""

import json
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from helpers import At, during_fit
from PIL import Image
from torch import nn

from fastcolor import bench
from fastcolor.bench import precisions, quality, recipes, reference, scaling
from fastcolor.bench.measure import Clock, PeakMemory, machine, timed, timed_input
from fastcolor.bench.tables import TABLES
from fastcolor.bench.workplace import workplace
from fastcolor.errors import UserError
from fastcolor.scenes.landscapes import draw_scene

CPU = torch.device("cpu")
TOP = Path(__file__).parent.parent
SETTINGS = {"device": "cpu", "precision": "fp32"}


class Time:
    """What stands in for `time.perf_counter`: no time passes but what a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def passing(monkeypatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


class Slow(list):
    """Batches that take 0.03 s to come."""

    bs, device = 4, CPU

    def __init__(self, passing: Time):
        super().__init__([(torch.rand(4, 1), torch.rand(4, 1))] * 6)
        self.passing = passing

    def __iter__(self):
        for batch in super().__iter__():
            self.passing.now += 0.03
            yield batch


def test_the_clock_counts_batches_and_what_of_their_time_is_waiting(passing):
    def work(*_):
        passing.now += 0.01

    dls, network = DataLoaders(Slow(passing), Slow(passing)), torch.nn.Linear(1, 1)
    network.register_forward_hook(work)
    figures = timed(Learner(dls, network, loss_func=torch.nn.functional.mse_loss), 0.6, CPU, 4)
    assert figures["photos_per_s"] == pytest.approx(4 / 0.04)
    assert figures["waiting"] == pytest.approx(0.75)
    assert timed_input(dls.train, 0.3, CPU, 4)["photos_per_s"] == pytest.approx(4 / 0.03)


def test_the_clock_gives_both_networks_of_a_gan_as_many_batches(passing):
    clock = Clock(0.5, CPU)
    clock.learn = type("Training", (), {"training": True})()
    clock.before_train()
    for batch in range(4):
        clock.arrived = passing.now
        passing.now += 1
        if batch == 3:
            with pytest.raises(Exception, match="^$"):  # CancelFitException: after the fourth, the second that counts
                clock.after_batch()
        else:
            clock.after_batch()
    assert len(clock.spent) == 2


def test_peak_memory_is_what_was_taken_on_the_way(monkeypatch):
    looks = []

    class Process(psutil.Process):
        def memory_info(self):
            looks.append(1)
            return super().memory_info()

    def wait_for_two_looks():  # the second of which begins after the call
        wanted = len(looks) + 2
        while len(looks) < wanted:
            time.sleep(0.01)

    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(PeakMemory, "every", 0.01)
    with PeakMemory(CPU) as memory:
        taken = np.ones(30_000_000)  # 240 MB
        wait_for_two_looks()
        del taken
        wait_for_two_looks()
    assert memory.mb == pytest.approx(240, abs=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_pipelines_are_measured_in_turn_and_the_table_says_what_the_file_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastcolor.bench.workplace.SCENES", 12)
    monkeypatch.setattr("fastcolor.bench.measure.WARM_UP", 0)
    bench.main(out=str(tmp_path), size=64, bs="2", rounds=2, seconds=0.1, **SETTINGS)
    result = json.loads((tmp_path / "speed.json").read_text())
    assert (tmp_path / "speed.md").read_text() == TABLES["speed"](result)
    lines = capsys.readouterr().out.splitlines()
    order = [line.split(": ")[0] for line in lines if "stage 1" in line and line.startswith("round")]
    assert [line.split(", ")[-1] for line in order] == ["stock", "fastcolor", "fastcolor", "stock"]
    for stage in ("input", "stage1", "stage3", "stage4"):
        ratios = [
            row[stage]["fastcolor"]["photos_per_s"] / row[stage]["stock"]["photos_per_s"] for row in result["rounds"]
        ]
        assert result["summary"][stage]["ratio"]["least"] == pytest.approx(min(ratios))
        assert all(row[stage][system]["photos_per_s"] > 0 for row in result["rounds"] for system in row[stage])
    assert result["machine"]["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_quality_is_looked_at_on_the_way_and_both_pipelines_learn(scenes, passing, monkeypatch):
    def work(callback):
        passing.now += 0.25  # seconds for a batch; a sum of these has no rounding errors

    monkeypatch.setattr(quality, "POINTS", (0.125, 0.5, 1.0))
    # LPIPS' weights are a download
    monkeypatch.setattr(quality, "load_lpips", lambda device: torch.nn.functional.mse_loss)
    with workplace(str(scenes), size=32, bs="2", **SETTINGS) as place, during_fit(At("before_batch", work)):
        result = quality.quality(place, 2.0, "resnet18", "none")
    for curve in result["curves"].values():
        assert [point["share"] for point in curve] == pytest.approx(quality.POINTS)
        assert [point["seconds"] for point in curve] == [0.25, 1.0, 2.0]  # after the first, the 4th and the 8th batch
        assert curve[-1]["psnr"] > min(point["psnr"] for point in curve)
    # PSNR and the squared error that stands in for LPIPS say the same
    last = result["curves"]["fastcolor"][-1]
    assert last["psnr"] == pytest.approx(-10 * np.log10(last["lpips"]), abs=2.0)
    result |= {"machine": machine(CPU), "settings": {"size": 32, "bs": 2, "data": "scenes"}}
    assert "| grey | " in TABLES["quality"](result)


def test_size_batch_and_number_of_photos_are_varied_one_at_a_time(thin, monkeypatch):
    monkeypatch.setattr(scaling, "SIZES", (32, 64))
    monkeypatch.setattr(scaling, "BATCHES", (4, 8))
    result = scaling.scaling(1, 0.1, 32, 4, counts=(50, 500), compile=False, **SETTINGS)
    measured = {}
    for row in result["summary"]:
        measured.setdefault(row["varied"], []).append((row["size"], row["bs"], row["photos"]))
        assert row["photos_per_s"]["median"] > 0
    assert measured == {
        "size": [(32, 4, 50), (64, 4, 50)],
        "batch": [(32, 4, 50), (32, 8, 50)],
        "photos": [(32, 4, 50), (32, 4, 500)],
        "photos, input alone": [(32, 4, 50), (32, 4, 500)],
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_precisions_are_compared_on_the_same_seeds(monkeypatch):
    monkeypatch.setattr(precisions, "SEEDS", (7, 7))
    monkeypatch.setattr("fastcolor.data.prepare.SAMPLE_COUNT", 24)
    measured, errors = precisions.held_out_metrics, []

    def watched(run):
        errors.append([row["train_mse"] for row in run.folder.history() if row["stage"] == "stage1"])
        return measured(run)

    monkeypatch.setattr(precisions, "held_out_metrics", watched)
    result = precisions.precisions("cpu", size=32, gen_epochs=2, critic_epochs=1, gan_epochs=1)
    assert [(run["seed"], run["precision"]) for run in result["runs"]] == [(7, "fp32"), (7, "bf16")] * 2
    assert result["runs"][0]["metrics"] == result["runs"][2]["metrics"]
    assert errors[0] == errors[2] != errors[1]  # metrics may be the same when they are rounded
    mean, deviation = result["summary"]["fp32"]["stage 1"]["PSNR dB"]
    assert (mean, deviation) == (result["runs"][0]["metrics"]["stage 1"]["PSNR dB"], 0)
    assert result["summary"]["bf16"]["stage 1"]["PSNR dB"][0] == pytest.approx(mean, abs=1)


@pytest.mark.parametrize("page", ["README.md", "nbs/bench/README.md"])
def test_the_readmes_tables_are_the_benchmarks_own(page):
    text = (TOP / page).read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- bench: (\w+) -->\n(.*?)<!-- end -->", text, re.DOTALL))
    assert "inference" in shown
    for name, table in shown.items():
        assert table == TABLES[name](json.loads((TOP / f"nbs/bench/{name}.json").read_text()))


def test_all_figures_that_are_kept_are_shown():
    text = (TOP / "nbs/bench/README.md").read_text(encoding="utf-8")
    kept = [file.stem for file in (TOP / "nbs/bench").glob("*.json")]
    assert [name for name in kept if f"<!-- bench: {name} -->" not in text] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scaling": True, "quality": True}, "can't be used together: give one of them"),
        ({"processes": "1,two"}, "--processes must be numbers of processes with commas between, not 1,two"),
        ({"rounds": 0}, "--rounds must be 1 or more, not 0"),
        ({"pretrained": "mine"}, "--pretrained mine is unknown: choose none or imagenet"),
        ({"bs": "many"}, "--bs must be a number of photos, or auto, not many"),
        ({"size": 32}, "--size must be 64 or more, not 32"),
        ({"arch": "vgg"}, "--arch vgg is unknown: choose resnet18, resnet34 or resnet50"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        bench.main(out=str(tmp_path / "bench"), **{**SETTINGS, **options})
    assert not (tmp_path / "bench").exists()


def test_photos_too_few_for_a_few_batches_are_refused(scenes, tmp_path):
    with pytest.raises(UserError, match="only 22 photos to train on: give a folder with at least 24, for batches of 8"):
        bench.main(data=str(scenes), out=str(tmp_path), size=64, bs="8", **SETTINGS)
    with pytest.raises(UserError, match="--bs must be 166 or less for sets of 500 photos, not 400"):
        bench.main(out=str(tmp_path), scaling=True, bs="400", **SETTINGS)


def test_stock_fastai_gets_upright_photos(tmp_path):
    """Orientation 6: the picture is stored turned, its first row is the right-hand side (EXIF 2.3, tag 0x0112)."""
    photo = draw_scene(0, 60).crop((0, 0, 60, 40))
    exif = photo.getexif()
    for number in range(10):
        exif[0x0112] = 6 if number == 0 else 1
        photo.save(tmp_path / f"{number}.jpg", exif=exif)
    with workplace(str(tmp_path), size=32, bs="2", **SETTINGS) as place:
        for name in place.names("train") + place.names("valid"):
            sizes = [Image.open(folder / name).size for folder in (place.colour, place.grey)]
            assert sizes == [(40, 60) if name == "0.jpg" else (60, 40)] * 2


def test_the_reference_has_the_parameters_that_its_own_code_prints():
    def millions(network):
        return sum(parameter.numel() for parameter in network.parameters()) / 1e6

    assert millions(reference.unet(8)) == pytest.approx(54.414, abs=1e-3)
    assert millions(reference.resnet(9)) == pytest.approx(11.378, abs=1e-3)
    assert millions(reference.critic(6, nn.BatchNorm2d)) == pytest.approx(2.769, abs=1e-3)
    assert millions(reference.critic(3, nn.InstanceNorm2d)) == pytest.approx(2.765, abs=1e-3)


@pytest.mark.parametrize("step", ["pix2pix", "cyclegan"])
def test_the_references_step_moves_all_of_its_networks(step, monkeypatch):
    for name, n in (("unet", 4), ("resnet", 4), ("critic", 4)):
        monkeypatch.setattr(reference, name, partial(getattr(reference, name), n=n))
    torch.manual_seed(0)
    step = reference.Pix2Pix(64, CPU) if step == "pix2pix" else reference.CycleGAN(1, CPU)
    networks = [each for each in vars(step).values() if isinstance(each, nn.Module)]
    before = [[parameter.clone() for parameter in network.parameters()] for network in networks]
    step(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    for network, old in zip(networks, before, strict=True):
        moved = [not torch.equal(a, b) for a, b in zip(network.parameters(), old, strict=True)]
        assert sum(moved) > 0.5 * len(moved)  # a bias before a norm has no gradient


def test_recipes_are_measured_in_turn_with_the_reference_and_the_table_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recipes, "CASES", (("pix2pix", 2, 0), ("cyclegan", 1, 1)))
    for name in ("unet", "resnet", "critic"):
        monkeypatch.setattr(reference, name, partial(getattr(reference, name), n=4))
    monkeypatch.setattr(recipes, "SkipUNetConfig", partial(recipes.SkipUNetConfig, channels=4))
    monkeypatch.setattr(recipes, "ResnetConfig", partial(recipes.ResnetConfig, channels=4))
    monkeypatch.setattr(recipes, "PatchGANConfig", partial(recipes.PatchGANConfig, widths=(4, 8, 8, 8)))
    thin = recipes.CYCLE_CRITIC.__class__(inputs=3, widths=(4, 8, 8, 8, 8), norm="group")
    monkeypatch.setattr(recipes, "CYCLE_CRITIC", thin)
    bench.main(recipes=True, size=64, rounds=2, seconds=0.1, out=str(tmp_path), **SETTINGS)
    result = json.loads((tmp_path / "recipes.json").read_text())
    assert (tmp_path / "recipes.md").read_text() == TABLES["recipes"](result)
    assert [(row["recipe"], row["bs"]) for row in result["rows"]] == [("pix2pix", 2), ("cyclegan", 1)]
    for row in result["rows"]:
        ratios = [its["fastcolor"]["photos_per_s"] / its["reference"]["photos_per_s"] for its in row["rounds"]]
        assert row["ratio"]["median"] == pytest.approx(np.median(ratios))
    printed = [line.split(", ")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("round")]
    assert [system.partition(":")[0] for *_, system in printed[:3:2]] == ["reference", "reference"]
    assert [system.partition(":")[0] for *_, system in printed[4::2]] == ["fastcolor", "fastcolor"]
