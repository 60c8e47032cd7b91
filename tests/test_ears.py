"""What the ears are taught: that a point's colour reaches to where its thing ends, and that nothing else changes."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fastcolor.data.photos import Photos, load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.networks.checkpoint import load_network, load_tensors, save_tensors
from fastcolor.runs.run import open_run
from fastcolor.training import ears
from fastcolor.weights import BUNDLED, LEAN

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(scenes, tmp_path_factory) -> Photos:
    run = open_run(data=str(scenes), run=str(tmp_path_factory.mktemp("ears") / "run"), size=64, device="cpu")
    prepare_photos(run)
    return load_photos(run)


def test_ears_learn_and_all_else_stays_to_the_last_bit_once(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(ears, "STEPS", 3)
    weights = tmp_path / "w.safetensors"
    tensors, about = load_tensors(BUNDLED, "")
    about.pop("taught", None)
    save_tensors(weights, tensors, about)
    ears.teach(weights, photos, 64, CPU, 42)
    after = load_file(weights)
    changed = [name for name, value in after.items() if not torch.equal(value, tensors[name].to(value.dtype))]
    assert {name.split(".")[0] for name in changed} == {"ears"}
    assert load_tensors(weights, "")[1] == {**about, "taught": 64}
    before = weights.read_bytes()
    ears.teach(weights, photos, 64, CPU, 42)
    assert weights.read_bytes() == before


def test_weights_that_take_no_points_are_left_as_they_are(photos, tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(LEAN.read_bytes())
    ears.teach(weights, photos, 64, CPU, 42)
    assert weights.read_bytes() == LEAN.read_bytes()


def test_taught_ears_bring_colors_nearer_to_what_points_say(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(ears, "STEPS", 150)
    network, about = load_network(BUNDLED, "generator")
    about.pop("taught", None)
    torch.manual_seed(0)
    for parameter in network.ears.parameters():
        torch.nn.init.normal_(parameter, std=0.05)  # they know nothing
    weights = tmp_path / "w.safetensors"
    save_tensors(weights, network.state_dict(), about)
    ears.teach(weights, photos, 64, CPU, 42)
    taught, _ = load_network(weights, "generator")
    with torch.inference_mode():
        lessons = ears.Lessons(taught, photos, photos.valid, 64, CPU)
        seen, ab, points, wanted = lessons.batch(np.random.default_rng(1))
        plain, told, ignorant = (
            (ab + change - wanted).norm(dim=1).mean()
            for change in (0, taught.ears(seen, ab, points), network.ears(seen, ab, points))
        )
    assert told < 0.8 * plain
    assert told < 0.8 * ignorant


def test_a_thing_in_another_color_is_one_thing_whole_and_no_more():
    """Against a drawn photo of two flat squares on a ground that is too large: each of them, or nothing, changes."""
    lab = torch.zeros(3, 20, 20)
    lab[0], lab[1:, 2:10, 2:10], lab[1:, 11:19, 11:19] = 50, 40, -40
    squares = [torch.zeros(20, 20, dtype=torch.bool) for _ in range(3)]
    squares[1][2:10, 2:10] = squares[2][11:19, 11:19] = True
    seen = set()
    for seed in range(30):
        change = ears.strange(lab, np.random.default_rng(seed)) - lab[1:]
        moved = change.norm(dim=0) > 0
        seen.add(next(i for i, square in enumerate(squares) if torch.equal(moved, square)))
        if moved.any():
            assert change[:, moved].std(dim=1).max() < 1e-5
            assert ears.AWAY[0] <= change.norm(dim=0).max() <= ears.AWAY[1]
    assert seen == {0, 1, 2}
