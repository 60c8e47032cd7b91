"""Run folders and weights that 0.1.0 wrote are read, and go on, as they did there.

All in `version_0_1_0/` was written by 0.1.0. `stages` is what its `fastcolor train` left, without weights and pictures.
`lab_gan` is a training of networks with two channels in the first layer, killed after the third of six mini epochs;
`lab_gan_whole.safetensors` are the weights of the same training when it was not killed.
"""

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastcolor import Colorizer, stage2_generate_fakes
from fastcolor.data import prepare
from fastcolor.data.split import read_split
from fastcolor.photo.write import save_photo
from fastcolor.recipes import lab_gan
from fastcolor.runs.listing import describe, run_folders, weights_found
from fastcolor.runs.run import open_run
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.weights import LEAN

WRITTEN = Path(__file__).parent / "version_0_1_0"


@pytest.fixture(autouse=True)
def sample_of_the_split(monkeypatch):
    """Of the drawn sample only the scenes that the runs have chosen."""

    def draw(run):
        for name in read_split(run.folder.split):
            save_photo(draw_scene(int(Path(name).stem.partition("_")[2]), prepare.SAMPLE_SIDE), run.photos / name)

    monkeypatch.setattr(prepare, "draw_sample", draw)


@pytest.fixture
def stages(tmp_path) -> Path:
    """A finished run of the four stages. The lean weights, which 0.1.0 shipped, stand for its own."""
    run = Path(shutil.copytree(WRITTEN / "stages", tmp_path / "stages"))
    for name in ("stage1_gen.safetensors", "stage4_gen.safetensors"):
        shutil.copy(LEAN, run / name)
    (run / "fakes").mkdir()
    return run


def test_a_run_folder_is_opened_with_its_settings(stages):
    run = open_run(run=str(stages))
    assert (run.settings.data, run.settings.size, run.settings.limit, run.settings.seed) == (None, 48, 64, 42)
    assert run.require("stage1") == stages / "stage1_gen.safetensors"
    assert [row["stage"] for row in run.folder.history()] == ["stage1", "stage1", "stage3", "stage4", "stage4"]


def test_a_finished_stage_is_known_to_be_finished(stages, capsys):
    before = json.loads((stages / "config.json").read_text())
    stage2_generate_fakes.main(run=str(stages), resume=True, device="cpu", precision="fp32")
    assert "stage2 is already finished" in capsys.readouterr().out
    assert json.loads((stages / "config.json").read_text()) == before


def test_the_page_shows_the_run_and_its_weights(stages):
    shown = describe(run_folders(stages.parent)["stages"])
    assert [stage["name"] for stage in shown["stages"]] == ["stage1", "stage2", "stage3", "stage4"]
    assert all(stage["finished"] for stage in shown["stages"])
    assert len(shown["history"]) == 5
    assert {"stages/stage1_gen", "stages/stage4_gen"} < weights_found(stages.parent).keys()


def test_weights_colour_a_photo():
    scene = draw_scene(3, 64)
    coloured = Colorizer(WRITTEN / "lab_gan_whole.safetensors")(scene)
    assert coloured.size == scene.size
    assert coloured.tobytes() != scene.tobytes()


def test_a_killed_training_goes_on_from_its_state_to_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    for config in ("EncoderDecoderConfig", "ColorCriticConfig"):
        monkeypatch.setattr(lab_gan, config, partial(getattr(lab_gan, config), channels=2))
    run = Path(shutil.copytree(WRITTEN / "lab_gan", tmp_path / "run"))
    options = {"epochs": 6, "sample_every": 3, "save_every": 3, "device": "cpu", "precision": "fp32"}
    lab_gan.main(run=str(run), resume=True, **options)
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(WRITTEN / "lab_gan" / "history.csv", newline="") as file:
        assert rows[:3] == list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    found, wanted = load_file(run / "lab_gan.safetensors"), load_file(WRITTEN / "lab_gan_whole.safetensors")
    assert found.keys() == wanted.keys()
    for name in wanted:  # the same bytes on the machine that wrote them; others round differently
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-3, atol=1e-4)
    assert [path.name for path in (run / "resume").iterdir()] == ["lab_gan.safetensors"]
