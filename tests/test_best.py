"""Which epoch's weights a run keeps, what it tells of them, and how a finished run goes on for more epochs."""

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY
from safetensors.torch import load_file
from scipy.linalg import sqrtm

from fastcolor import stage1_pretrain_gen, stage3_pretrain_critic, stage4_gan, train
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import HEAD, load_tensors, save_tensors
from fastcolor.networks.classic import PatchGANConfig, SkipUNetConfig
from fastcolor.recipes import pix2pix
from fastcolor.training import best, outlook
from fastcolor.training.best import ENLIVENED, SHARE, HeldOutJudge, enliven, mix, rank
from fastcolor.training.features import frechet_distance
from fastcolor.weights import LEAN

pytestmark = pytest.mark.usefixtures("thin")


def row(share: float, ciede: float = 10.0, **figures) -> dict[str, str]:
    found = {"epoch": 1, "colorfulness": 40 * share, "colorfulness_real": 40, "ciede2000": ciede, **figures}
    return {name: str(value) for name, value in found.items()}


def history(run, stage: str) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["stage"] == stage]


def test_a_pale_epoch_is_worse_however_near_its_colours_are():
    assert rank(row(0.9, 12)) < rank(row(0.4, 8))
    assert rank(row(0.9, 12)) < rank(row(1.4, 8))
    assert rank(row(0.4)) < rank(row(0.3))


def test_among_colourful_epochs_the_nearest_to_the_photos_is_best():
    assert rank(row(0.8, 9)) < rank(row(0.9, 10))
    near, far = ({"feature_distance": d, "frechet": 0.1} for d in (0.4, 0.5))
    assert rank(row(0.8, 12, **near)) < rank(row(0.8, 9, **far))
    assert rank({"stage": "stage1", "epoch": "3"}) > rank(row(0.1, 99))  # an older version's


def test_frechet_distance_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    fakes, reals = rng.normal(size=(40, 6)), rng.normal(1, 2, size=(40, 6))
    (mean, cov), (other, cov_other) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (fakes, reals))
    wanted = ((mean - other) ** 2).sum() + np.trace(cov + cov_other - 2 * sqrtm(cov @ cov_other).real)
    assert frechet_distance(torch.tensor(fakes), torch.tensor(reals)) == pytest.approx(wanted)
    assert frechet_distance(torch.tensor(reals), torch.tensor(reals)) == pytest.approx(0, abs=1e-9)


def test_without_features_photos_are_judged_by_ciede2000(capsys):
    best._note.cache_clear()
    judge, _ = HeldOutJudge(torch.device("cpu")), HeldOutJudge(torch.device("cpu"))
    assert capsys.readouterr().out.count("judged by CIEDE2000 alone") == 1
    photo = torch.rand(2, 3, 32, 32)
    assert list(judge(photo, photo)) == ["ciede2000"]


@pytest.mark.parametrize(("share", "factor"), [(0.55, ENLIVENED / 0.55), (0.95, 1.0), (0.1, 1.7)])
def test_kept_weights_are_brought_to_the_photos_colourfulness_once(share, factor, tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(LEAN.read_bytes())
    before, _ = load_tensors(weights, "")
    enliven(weights, row(share))
    enliven(weights, row(share))
    after, about = load_tensors(weights, "")
    assert about["vivid"] == pytest.approx(factor)
    for name in before:
        wanted = before[name] * factor if name in HEAD else before[name]
        torch.testing.assert_close(after[name], wanted)


@pytest.mark.parametrize(("share", "factor"), [(0.62, 1.25), (0.76, 1.0), (1.2, 1.0), (0.3, 1.7)])
def test_kept_weights_get_no_more_chroma_than_held_out_photos_need(share, factor, tmp_path):
    """Also where features like more: they can't tell whether a lively colour is right."""
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(LEAN.read_bytes())

    def judged(network, factor):
        return row(share * factor) | {"feature_distance": str(2 - factor), "frechet": "0.1"}

    enliven(weights, row(share), judged)
    assert load_tensors(weights, "")[1]["vivid"] == factor


def halved(path) -> Path:
    """The lean weights, each half as large."""
    tensors, about = load_tensors(LEAN, "")
    halves = {name: value / 2 for name, value in tensors.items() if value.is_floating_point()}
    save_tensors(path, {**tensors, **halves}, about)
    return path


@pytest.mark.parametrize("gains", [True, False])
def test_kept_weights_are_mixed_once_with_those_of_before_where_held_out_photos_gain(gains, tmp_path):
    weights, old = halved(tmp_path / "w.safetensors"), load_file(LEAN)
    seen = []

    def judged(network, factor):
        seen.append(network.head.weight.norm().item())
        return row(0.9, 10 - gains * len(seen) + len(seen) * (not gains))

    mix(weights, LEAN, judged)
    share = SHARE if gains else 1.0
    for name, value in load_file(weights).items():
        if value.is_floating_point():
            wanted = (1 - share / 2) * old[name].float()
            torch.testing.assert_close(value.float(), wanted, rtol=1e-3, atol=1e-3)
    assert seen[1] / seen[0] == pytest.approx(2 - SHARE, rel=1e-2)
    if gains:
        before = weights.read_bytes()
        mix(weights, LEAN, judged)
        assert weights.read_bytes() == before


def test_the_weights_of_the_best_epoch_are_kept_not_those_of_the_last(own_run, monkeypatch):
    saved = []

    def save(path, network, kind, **about):
        saved.append({name: value.clone() for name, value in network.state_dict().items()})

    monkeypatch.setattr(stage4_gan, "save_network", save)
    monkeypatch.setattr(stage4_gan, "rank", lambda row: abs(int(row["epoch"]) - 2) if row["stage"] == "stage4" else 9)
    stage4_gan.main(run=str(own_run), force=True, epochs=3, **TINY)
    assert [row["epoch"] for row in history(own_run, "stage4")] == ["1", "2", "3"]
    assert len(saved) == 2  # after epochs 1 and 2, not after 3


def test_where_no_epoch_is_better_the_weights_that_it_began_from_stay(whole, scenes, tmp_path, capsys):
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage4_gan, "rank", lambda row: int(row["epoch"]) + 10 * (row["stage"] == "stage4"))
        flags = {"pretrained": "lean", "gen_epochs": 1, "critic_epochs": 1, "gan_epochs": 1}
        train.main(data=str(scenes), run=str(run), **flags, **TINY)
    kept, shipped = load_file(run / "stage4_gen.safetensors"), load_file(LEAN)
    assert all(torch.equal(kept[name], shipped[name]) for name in shipped)
    told = capsys.readouterr().out
    assert "training did not pay: no epoch was better than the weights it began from" in told
    assert f"fastcolor colorize PHOTOS -o coloured --weights {run}" in told
    assert "\nbefore  " in told
    assert history(run, "stage1")[0]["epoch"] == "0"


def test_a_finished_stage_goes_on_for_more_epochs_to_the_weights_of_a_longer_one(own_run, scenes, tmp_path):
    common = {"switcher": "fixed", "lr": 1e-4, **TINY}
    stage4_gan.main(run=str(own_run), force=True, epochs=1, **common)
    stage4_gan.main(run=str(own_run), resume=True, epochs=2, **common)
    state = load_file(own_run / "resume" / "stage4.safetensors")
    stage4_gan.main(run=str(own_run), force=True, epochs=2, **common)
    whole = load_file(own_run / "resume" / "stage4.safetensors")
    assert all(torch.equal(state[name], whole[name]) for name in whole)


def test_a_finished_recipe_goes_on_for_more_epochs(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(pix2pix, "SkipUNetConfig", partial(SkipUNetConfig, channels=8))
    monkeypatch.setattr(pix2pix, "PatchGANConfig", partial(PatchGANConfig, widths=(8, 16, 32, 64)))
    common = {"data": str(scenes), "device": "cpu", "precision": "fp32", "size": 32, "bs": 8}
    for run, epochs in (("more", (1, 2)), ("whole", (2,))):
        for number in epochs:
            pix2pix.main(run=str(tmp_path / run), epochs=number, resume=number == 2 and run == "more", **common)
    more, whole = (load_file(tmp_path / run / "pix2pix.safetensors") for run in ("more", "whole"))
    assert all(torch.equal(more[name], whole[name]) for name in whole)


def test_a_stage_that_later_ones_have_used_does_not_go_on(own_run):
    with pytest.raises(UserError, match="stage2 has used what stage1 left.*--force"):
        stage1_pretrain_gen.main(run=str(own_run), resume=True, pretrained="none", epochs=5, **TINY)
    config = json.loads((own_run / "config.json").read_text())
    assert config["stages"]["stage1"]["epochs"] == 2


def test_a_stage_whose_state_is_gone_says_so(own_run):
    (own_run / "resume" / "stage4.safetensors").unlink()
    with pytest.raises(UserError, match="stage4.safetensors is missing, so stage4 can't go on.*--force"):
        stage4_gan.main(run=str(own_run), resume=True, epochs=5, switcher="fixed", **TINY)


def test_time_left_counts_later_stages():
    assert outlook.time_left("stage1", 60, 3) == "3 min"
    with outlook.planned(stage1=0, stage2=1, stage3=5, stage4=10):
        later = 60 * (outlook.COST["stage2"] + 5 * outlook.COST["stage3"] + 10 * outlook.COST["stage4"])
        assert outlook.time_left("stage1", 60, 3) == f"3 min, all {3 + later / 60:.0f} min"
        assert outlook.time_left("stage4", 5, 4) == "20 s, all 20 s"
    assert outlook.time_left("pix2pix", 60, 3) == "3 min"
    assert stage3_pretrain_critic.STAGE in outlook.COST


def test_a_run_does_not_begin_from_its_own_weights(own_run):
    weights = str(own_run / "stage4_gen.safetensors")
    with pytest.raises(UserError, match="lies in the run folder, which it would change: give another --run"):
        stage1_pretrain_gen.main(run=str(own_run), pretrained=weights, force=True, **TINY)
    assert (own_run / "stage4_gen.safetensors").exists()


def test_a_resumed_stage_takes_the_flags_that_it_was_begun_with(own_run, capsys):
    config = json.loads((own_run / "config.json").read_text())
    config["stages"]["stage1"] |= {"epochs": 7, "lr": 0.5}
    (own_run / "config.json").write_text(json.dumps(config))
    stage1_pretrain_gen.main(run=str(own_run), pretrained="none", resume=True, **TINY)
    assert "stage1 is already finished" in capsys.readouterr().out
