"""What all stages share: learning, freezing, history, resuming, NaN, warnings. For Ctrl-C see faults."""

import sys
from functools import partial

import pytest
import torch
from helpers import TINY, At, during_fit, killed_after, prepared

from fastcolor import stage1_pretrain_gen, stage4_gan
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches
from fastcolor.errors import TrainingFailed, UserError
from fastcolor.networks.checkpoint import HEAD, load_network
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import open_run
from fastcolor.training.average import Averaged
from fastcolor.training.best import rank
from fastcolor.training.history import warnings
from fastcolor.training.resume import Resumable

pytestmark = pytest.mark.usefixtures("thin")

stage1 = partial(stage1_pretrain_gen.main, pretrained="none", **TINY)


def weights(run, stage="stage1") -> dict[str, torch.Tensor]:
    return load_network(open_run(run=str(run)).folder.output(stage), "generator")[0].state_dict()


def rows(run, stage="stage1") -> list[dict]:
    return [row for row in open_run(run=str(run)).folder.history() if row["stage"] == stage]


def valid_mse(folder, stage="stage1") -> float:
    """What the saved weights of a stage reach on the photos held out."""
    run = open_run(run=str(folder), bs=4, device="cpu")
    network, about = load_network(run.folder.output(stage), "generator")
    for name in HEAD:  # stage 4's is made vivid at last
        network.get_parameter(name).data /= about.get("vivid", 1)
    batches = color_batches(run, prepared(run), SPACES["lab"]).valid
    with torch.no_grad():
        return torch.cat([(network(x) - y).square().flatten(1).mean(1) for x, y in batches]).mean().item()


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_stage_1_resumes_to_the_same_weights(scenes, tmp_path):
    stage = partial(stage1, data=str(scenes), limit=12, epochs=3, frozen=1)
    stage(run=str(tmp_path / "whole"))
    for epochs in (1, 2):
        with killed_after(epochs):
            stage(run=str(tmp_path / "killed"), resume=epochs > 1)
        with pytest.raises(UserError, match="holds a begun stage1: give --resume"):
            stage(run=str(tmp_path / "killed"))
    stage(run=str(tmp_path / "killed"), resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    losses = [[row["train_mse"] for row in rows(tmp_path / name)] for name in ("whole", "killed")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_a_killed_stage_1_of_a_network_that_listens_resumes_to_the_same_weights(scenes, tmp_path):
    more = {"generator": "hint_unet", "arch": "efficientnet_lite0", "average": 5, "save_every": 2}
    more |= {"saturation": 1.1, "aged": 0.5, "often": "none*2"}
    stage = partial(stage1, data=str(scenes), limit=16, epochs=2, **more)  # 3 batches an epoch
    stage(run=str(tmp_path / "whole"))
    with killed_after(1, batches=2):
        stage(run=str(tmp_path / "killed"))
    stage(run=str(tmp_path / "killed"), resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    told = [
        [(row["train_classes"], row["train_points"]) for row in rows(tmp_path / name)] for name in ("whole", "killed")
    ]
    assert told[0] == told[1]


def test_a_resumed_optimisers_averages_lie_in_memory_as_the_weights_do(scenes, tmp_path):
    """Otherwise each step would take more than twice as long."""
    learners = []
    with killed_after(1):
        stage1(data=str(scenes), run=str(tmp_path / "run"), limit=12, epochs=2)
    with during_fit(At("after_train", lambda callback: learners.append(callback.learn))):
        stage1(run=str(tmp_path / "run"), epochs=2, resume=True)
    (learn,) = learners  # of one epoch, the second
    held = [
        (weight, value)
        for weight, _, state, _ in learn.opt.all_params()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    assert all(weight.stride() == value.stride() for weight, value in held)
    assert any(not weight.is_contiguous() for weight, _ in held)  # channels last


def test_a_killed_gan_stage_resumes_to_the_same_weights(own_run):
    stage = partial(stage4_gan.main, run=str(own_run), epochs=2, switcher="fixed", n_crit=2, n_gen=2, **TINY)
    stage(force=True)
    whole = weights(own_run, "stage4")
    with killed_after(1):
        stage(force=True)
    assert not same(whole, weights(own_run, "stage4"))
    stage(resume=True)
    assert same(whole, weights(own_run, "stage4"))


def test_resuming_with_other_settings_is_refused(scenes, tmp_path):
    with killed_after(1):
        stage1(data=str(scenes), run=str(tmp_path / "run"), limit=12, epochs=2)
    with pytest.raises(UserError, match=r"other settings \(epochs\).*--force"):
        stage1(run=str(tmp_path / "run"), epochs=5, resume=True)


def test_a_finished_stage_is_neither_overwritten_nor_trained_again(own_run, capsys):
    before = (own_run / "stage1_gen.safetensors").read_bytes()
    with pytest.raises(UserError, match="holds a finished stage1.*--force"):
        stage1(run=str(own_run), epochs=2)
    stage1(run=str(own_run), epochs=2, resume=True)
    assert "already finished" in capsys.readouterr().out
    assert (own_run / "stage1_gen.safetensors").read_bytes() == before


def test_beginning_a_stage_anew_drops_what_later_ones_made_of_it(own_run):
    stage1(run=str(own_run), epochs=1, force=True)
    assert (own_run / "stage1_gen.safetensors").exists()
    assert not list(own_run.glob("stage[34]*"))
    assert not (own_run / "fakes").exists()
    assert {row["stage"] for row in open_run(run=str(own_run)).folder.history()} == {"stage1"}


def test_what_is_saved_and_measured_is_the_running_average_of_the_weights(scenes, tmp_path):
    """Against the average of what every step left, by the recursion written out below."""
    name, left = "encoder.0.0.weight", []

    def note(callback):
        left.append(callback.learn.model.state_dict()[name].clone())

    with during_fit(At("before_fit", note), At("after_step", note)):
        stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=2, average=10, lr=1e-2)
    average = left[0]
    for n, value in enumerate(left[1:], start=1):
        decay = min(0.9, n / (n + 10))
        average = decay * average + (1 - decay) * value
    torch.testing.assert_close(weights(tmp_path / "run")[name], average)
    assert (left[-1] - average).abs().max() > 1e-3
    assert float(rows(tmp_path / "run")[-1]["valid_mse"]) == pytest.approx(valid_mse(tmp_path / "run"), rel=1e-3)


def test_an_average_goes_on_where_it_was_after_a_resume(scenes, tmp_path):
    stage = partial(stage1, data=str(scenes), limit=12, epochs=2, average=7, aged=0.5, loss="chroma")
    stage(run=str(tmp_path / "whole"))
    with killed_after(1):
        stage(run=str(tmp_path / "killed"))
    stage(run=str(tmp_path / "killed"), resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_the_average_is_that_of_all_steps_weights():
    """Against the recursion written out: a <- d a + (1 - d) w, d = min(1 - 1/steps, n / (n + 10))."""
    network = torch.nn.Linear(1, 1, bias=False)
    averaged = Averaged(network, 4)
    averaged.learn = type("Learner", (), {})()
    expected = network.weight.item()
    for n, value in enumerate([3.0, -1.0, 2.0, 8.0, 5.0], start=1):
        with torch.no_grad():
            network.weight.fill_(value)
        averaged.after_step()
        decay = min(0.75, n / (n + 10))
        expected = decay * expected + (1 - decay) * value
    averaged.before_validate()
    assert network.weight.item() == pytest.approx(expected)
    averaged.after_validate()
    assert network.weight.item() == 5.0


def test_the_encoder_stands_still_while_it_is_frozen_and_moves_afterwards(scenes, tmp_path):
    left = []

    def note(callback):  # batch norm goes on learning in fastai's frozen layers (train_bn)
        values = callback.learn.model.state_dict().items()
        left.append({n: v.clone() for n, v in values if n.startswith("encoder") and v.ndim == 4})

    torch.manual_seed(42)  # the default seed
    first = {n: v for n, v in stage1_pretrain_gen.build(UNetConfig()).state_dict().items() if v.ndim == 4}
    with during_fit(At("after_epoch", note)):
        stage1(data=str(scenes), run=str(tmp_path / "run"), limit=12, epochs=2, frozen=1)
    frozen, thawed = left
    assert frozen
    for name in frozen:
        assert torch.equal(frozen[name], first[name])
        assert not torch.equal(thawed[name], first[name])


def test_training_lowers_the_error_on_held_out_photos_below_that_of_grey(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(Resumable, "keep", lambda *_: None)  # 20 states take as long as 20 epochs
    stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=20, lr=1e-2)
    run = rows(tmp_path / "run")
    opened = open_run(run=str(tmp_path / "run"))
    targets = torch.cat([y for _, y in color_batches(opened, prepared(opened), SPACES["lab"]).valid])
    grey_mse = targets[:, 1:].square().sum().item() / targets.numel()
    assert float(run[-1]["valid_mse"]) < 0.8 * grey_mse
    assert float(run[-1]["train_mse"]) < 0.5 * float(run[0]["train_mse"])


def test_the_history_has_one_row_per_epoch_with_all_that_was_promised(finished_run):
    assert [(row["stage"], row["epoch"]) for row in open_run(run=str(finished_run)).folder.history()] == [
        (stage, epoch) for stage in ("stage1", "stage3", "stage4") for epoch in "12"
    ]
    expected = {
        "stage1": ("train_mse", "valid_mse", "psnr", "colorfulness", "colorfulness_real", "photos_per_s", "seconds"),
        "stage3": ("critic_loss", "valid_bce", "critic_accuracy", "photos_per_s", "seconds"),
        "stage4": ("gen_adversarial", "gen_chroma", "critic_loss", "critic_accuracy", "ciede2000", "colorfulness"),
    }
    for stage, names in expected.items():
        for row in rows(finished_run, stage):
            assert all(float(row[name]) >= 0 for name in names)


def test_the_last_rows_figures_are_those_of_the_saved_weights(finished_run):
    expected = valid_mse(finished_run, "stage1")
    assert float(rows(finished_run, "stage1")[-1]["valid_mse"]) == pytest.approx(expected, rel=1e-3)


def test_the_best_rows_figures_are_those_of_stage_4s_weights(finished_run):
    best = min([rows(finished_run, "stage1")[-1], *rows(finished_run, "stage4")], key=rank)
    assert float(best["valid_mse"]) == pytest.approx(valid_mse(finished_run, "stage4"), rel=1e-3)


def test_every_stage_leaves_sample_grids(finished_run):
    names = {path.name for path in (finished_run / "samples").iterdir()}
    assert names == {f"stage{s}_epoch00{e}.png" for s in (1, 3, 4) for e in (1, 2)} | {"stage2.png"}


def spoil(callback) -> None:
    callback.learn.pred = callback.pred * float("nan")


def test_a_loss_that_is_no_number_stops_the_stage_and_keeps_earlier_weights(scenes, tmp_path):
    broken = At("after_pred", lambda callback: spoil(callback) if (callback.epoch, callback.iter) == (1, 3) else None)
    with during_fit(broken), pytest.raises(TrainingFailed, match="no longer a number in epoch 2, batch 4.*lower --lr"):
        stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=3)
    assert all(value.isfinite().all() for value in weights(tmp_path / "run").values())
    assert len(rows(tmp_path / "run")) == 1


def test_weights_that_the_last_step_spoilt_are_not_saved(scenes, tmp_path):
    """With one batch an epoch, only validation can see it."""
    with pytest.raises(TrainingFailed, match="validation batch"):
        stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=2, lr=1e30, bs=22)
    assert not open_run(run=str(tmp_path / "run")).folder.output("stage1").exists()


def test_bf16_trains_and_is_over_when_the_stage_is(scenes, tmp_path):
    stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=1, precision="bf16")
    assert float(rows(tmp_path / "run")[-1]["valid_mse"]) > 0
    with during_fit(At("after_pred", spoil)), pytest.raises(TrainingFailed):
        stage1(data=str(scenes), run=str(tmp_path / "nan"), epochs=1, precision="bf16")
    assert not torch.is_autocast_enabled("cpu")


def test_a_run_resumes_where_bars_are_drawn_too(scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with killed_after(1):
        stage1(data=str(scenes), run=str(tmp_path / "run"), limit=12, epochs=2)
    stage1(run=str(tmp_path / "run"), epochs=2, resume=True)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    assert "Epoch 2/2" in capsys.readouterr().out


def test_warnings_reach_the_history_and_the_console(scenes, tmp_path, capsys):
    def paint_grey(callback):
        callback.learn.pred = callback.pred * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)

    with during_fit(At("after_pred", paint_grey)):
        stage1(data=str(scenes), run=str(tmp_path / "run"), epochs=1)
    assert rows(tmp_path / "run")[0]["warning"].startswith("fading: ")
    assert "warning: fading: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "warned"),
    [
        ({"colorfulness": "5", "colorfulness_real": "40"}, "fading"),
        (
            {"colorfulness": "30", "colorfulness_real": "40", "hue_diversity": "0.02", "hue_diversity_real": "0.6"},
            "collapse",
        ),
        ({"critic_loss": "0.001"}, "near zero"),
        ({"critic_loss": "0.69", "generator_share": "0.00000"}, "no turn"),
        ({"colorfulness": "30", "colorfulness_real": "40", "hue_diversity": "0.5", "hue_diversity_real": "0.6"}, None),
        ({"critic_loss": "0.5", "gen_mse": ""}, None),
    ],
)
def test_known_failures_are_warned_of(row, warned):
    found = warnings({"stage": "stage4", **row})
    assert [warned in text for text in found] == ([True] if warned else [])
