"""--hours: as many passes as fit, noted when a run begins."""

import json

import pytest
import torch
from helpers import TINY, opened, prepared

from fastcolor import train
from fastcolor.errors import UserError
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.training import hours
from fastcolor.training.hours import passes, seconds_per_photo

pytestmark = pytest.mark.usefixtures("thin")

USUAL = {"loss": "mse", "epochs": 8, "gan_epochs": 4, "critic_epochs": 10, "bs": 4}


@pytest.fixture
def an_hour_each(monkeypatch):
    """A pass takes an hour: 8, 0.4 of fakes, 10 x 0.2 of the critic, 4 x 0.95 of both: 14.2."""

    def seconds(run, photos, network, loss, bs):
        return 3600 / len(photos.train) / hours.OTHER_WORK

    monkeypatch.setattr(hours, "seconds_per_photo", seconds)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(14.3, (8, 4)), (7.2, (4, 2)), (28.5, (16, 8)), (0.1, (1, 1)), (1000, (32, 16))],
)
def test_passes_are_those_of_the_preset_scaled_to_the_hours(given, expected, an_hour_each, scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    found = passes(run, prepared(run), build(UNetConfig()), given, **USUAL)
    assert tuple(found[name] for name in ("epochs", "gan_epochs")) == expected


def test_a_step_is_timed_without_anything_being_learned(scenes, tmp_path):
    run, network = opened(scenes, tmp_path / "run"), build(UNetConfig())
    before = [parameter.clone() for parameter in network.parameters()]
    assert 0 < seconds_per_photo(run, prepared(run), network, "mse", 4) < 60
    assert all(map(torch.equal, before, network.parameters()))


def test_a_run_keeps_its_passes_when_it_goes_on(an_hour_each, scenes, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(train.stage1_pretrain_gen, "main", lambda **flags: begun.append(flags) or 1 / 0)
    options = {"preset": "photo", "data": str(scenes), "run": str(tmp_path / "run"), **TINY}
    for more in ({"hours": 3.0}, {"resume": True}, {"resume": True, "hours": 3.0}):
        with pytest.raises(ZeroDivisionError):
            train.main(**options, **more)
    asked = [flags["epochs"] for flags in begun]
    assert asked == 3 * asked[:1]
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["hours"]
    assert (kept["hours"], kept["passes"]["epochs"]) == (3, asked[0])
    with pytest.raises(UserError, match="was begun with --hours 3: resume it without --hours"):
        train.main(**options, resume=True, hours=4.0)
    for more in ({"force": True}, {"resume": True}, {"force": True, "hours": 5.0}, {}):  # anew, without hours and with
        with pytest.raises(ZeroDivisionError):
            train.main(**options, **more)
    asked = [flags["epochs"] for flags in begun[3:]]
    usual = train.PRESETS["photo"]["stage1"]["epochs"]
    assert asked == [usual, usual, asked[2], asked[2]]
    assert asked[2] == 2 * begun[0]["epochs"]


def test_hours_go_with_the_preset_that_takes_them(scenes, tmp_path):
    with pytest.raises(UserError, match="--hours goes with --preset photo"):
        train.main(data=str(scenes), run=str(tmp_path / "run"), hours=1.0, **TINY)
    with pytest.raises(UserError, match="--hours must be 0.01 or more"):
        train.main(preset="photo", data=str(scenes), run=str(tmp_path / "run"), hours=-1.0, **TINY)


def test_a_presets_batches_are_no_larger_than_the_photos_allow(scenes, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(train.stage1_pretrain_gen, "main", lambda **flags: begun.append(flags["bs"]) or 1 / 0)
    options = {"preset": "photo", "data": str(scenes), **TINY}
    for more in ({"bs": None}, {"bs": "2"}):
        with pytest.raises(ZeroDivisionError):
            train.main(**options | more, run=str(tmp_path / str(more["bs"])))
    trained_on = sum(",train" in line for line in (tmp_path / "None" / "split.csv").read_text().splitlines())
    assert begun == [trained_on, "2"]
    assert trained_on < train.PRESETS["photo"]["stage1"]["bs"]
