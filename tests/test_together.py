"""Several processes that train together: they see the batches of one, and end in the same weights."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import TINY, At, during_fit, ends, near, opened, prepared, run_stages, together
from torch import nn

from fastcolor import processes, stage1_pretrain_gen, stage4_gan
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches, critic_batches
from fastcolor.errors import TrainingFailed, UserError
from fastcolor.networks.checkpoint import load_tensors
from fastcolor.networks.layers import Dropout
from fastcolor.processes import Group, Share
from fastcolor.runs import provenance
from fastcolor.runs.run import open_run
from fastcolor.training.together import common_layers

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture
def as_one_of(monkeypatch):
    """Makes this process number `rank` of `count`, without the others: for what needs no talk with them."""

    def become(rank: int, count: int) -> None:
        monkeypatch.setattr(processes, "_group", Group(rank, count, None, None) if count > 1 else None)

    return become


@pytest.mark.parametrize("count", [2, 3, 7])
def test_processes_see_the_batches_of_one_and_each_photo_once(count, scenes, tmp_path, as_one_of):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    loader = color_batches(run, photos, SPACES["lab"], 5, points=True, aged=0.5, saturation=1.1).train
    loader.start(3)
    whole = list(loader)
    assert len(whole) == len(loader) > 2
    found = [tuple(torch.empty_like(each) for each in batch) for batch in whole]
    for rank in range(count):
        as_one_of(rank, count)
        for batch, own in zip(found, loader, strict=True):
            for put, rows in zip(batch, own, strict=True):
                put[rank::count] = rows
    for batch, again in zip(whole, found, strict=True):
        assert all(torch.equal(*pair) for pair in zip(batch, again, strict=True))


def test_a_share_of_the_critics_batch_has_a_photos_fake_beside_it(scenes, tmp_path, as_one_of):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    loader = critic_batches(run, photos, photos.squares, SPACES["lab"], 10).train
    images, labels = next(iter(loader))
    as_one_of(1, 2)
    own, its = next(iter(loader))
    assert loader.share == Share(10, (1, 3, 6, 8))
    assert torch.equal(own, images[[1, 3, 6, 8]])
    assert torch.equal(its, labels[[1, 3, 6, 8]])


@pytest.mark.parametrize("count", [2, 5])
def test_validation_batches_are_whole_and_each_is_in_one_process(count, scenes, tmp_path, as_one_of):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    valid = color_batches(run, replace(photos, valid=photos.train), SPACES["lab"], 4).valid
    whole, found = [x for x, _ in valid], {}
    for rank in range(count):
        as_one_of(rank, count)
        found |= {rank + i * count: x for i, (x, _) in enumerate(valid)}
    assert sorted(found) == list(range(len(whole)))
    assert all(torch.equal(found[i], x) for i, x in enumerate(whole))


def layers() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    first = [nn.Conv2d(3, 3, 3), norm, nn.Dropout2d(0.5)]
    return nn.Sequential(*first, nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), Dropout(0.5))


def one_pass(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """The outputs of this process's photos, the gradients of all, and the buffers, after a pass through `layers`."""
    network = layers()
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 3 + 10
    with common_layers(network), processes.sharing(processes.share_of_batch(5)):
        torch.manual_seed(2)
        own = x[processes.own_rows()].requires_grad_()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            y = network(own)
        processes.weighted((y.float() - 0.3).square().mean()).backward()
        gradients = [processes.summed(parameter.grad) for parameter in network.parameters()]
        of_photos = [processes.whole(each.detach()) for each in (y, own.grad)]
        return (*of_photos, *gradients, *network.buffers())


@pytest.mark.parametrize("count", [2, 3, 7])  # with seven, two have no photo
def test_batch_norm_and_dropout_of_several_processes_are_those_of_the_whole_batch(count):
    alone = one_pass()
    for found in together(one_pass, count):
        assert [(each.dtype, each.shape) for each in found] == [(each.dtype, each.shape) for each in alone]
        for each, wanted in zip(found, alone, strict=True):
            torch.testing.assert_close(each, wanted, rtol=1e-4, atol=1e-5)


def test_ratios_and_means_of_shares_add_up_to_those_of_the_batch():
    values, weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([1.0, 0.0, 2.0, 5.0, 1.0])

    def work() -> list[float]:
        with processes.sharing(processes.share_of_batch(5)):
            own, its = values[processes.own_rows()], weights[processes.own_rows()]
            ratio = processes.ratio((own * its).sum(), its.sum())
            terms = [own.mean(), ratio, processes.ratio(own.sum(), 0 * its.sum(), least=1)]
            return [processes.summed(processes.weighted(term)).item() for term in terms]

    for count in (2, 7):
        for found in together(work, count):
            assert found == pytest.approx([3.0, 32 / 9, 15.0])


def losses(run: Path) -> list[dict[str, float]]:
    """The history without what depends on time, as numbers."""
    timed = ("photos_per_s", "seconds", "peak_mb", "stage", "warning")
    rows = opened_again(run).folder.history()
    return [{name: float(value) for name, value in row.items() if name not in timed and value} for row in rows]


def opened_again(run: Path):
    return open_run(run=str(run), device="cpu")


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_two_processes_train_all_four_stages_as_one_does(scenes, finished_run, tmp_path):
    one, other = together(lambda: ends(lambda: run_stages(scenes, tmp_path / "run")))
    assert one == other
    assert len(one) == 3
    for file in ("stage1_gen", "stage3_critic", "stage4_gen"):
        near(tmp_path / "run" / f"{file}.safetensors", finished_run / f"{file}.safetensors")
    fakes, wanted = ({path.name for path in (run / "fakes").iterdir()} for run in (tmp_path / "run", finished_run))
    assert fakes == wanted
    for found, wanted in zip(losses(tmp_path / "run"), losses(finished_run), strict=True):
        assert found == pytest.approx(wanted, rel=0.02, abs=1e-3)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_three_processes_see_the_losses_of_a_network_that_listens_as_one_does(scenes, tmp_path):
    """They are ratios of sums over a batch; points of colour and the light of old prints are drawn for all.

    Only the losses of the first step: this network makes a hundredth of a rounding, in the gradients.
    """
    more = {"generator": "hint_unet", "arch": "efficientnet_lite0", "loss": "chroma", "aged": 0.5, "average": 5}
    tiny = {**TINY, "bs": 20}  # one step an epoch
    work = partial(stage1_pretrain_gen.main, data=str(scenes), pretrained="none", epochs=1, **more, **tiny)
    found = together(lambda: ends(partial(work, run=str(tmp_path / "run"))), 3)
    assert len({*map(tuple, found)}) == 1
    work(run=str(tmp_path / "alone"))
    (of_three,), (of_one,) = losses(tmp_path / "run"), losses(tmp_path / "alone")
    for name in ("train_chroma", "train_classes", "train_points"):
        assert of_three[name] == pytest.approx(of_one[name], rel=1e-3)


stage1 = partial(stage1_pretrain_gen.main, pretrained="none", epochs=2, save_every=1, **TINY)


def at_batch(number: int, act, epoch: int = 0, event: str = "before_batch") -> At:
    """In the second process, `act(callback)` at this batch of training."""

    def do(callback) -> None:
        if callback.training and processes.rank() == 1 and (callback.epoch, callback.iter) == (epoch, number):
            act(callback)

    return At(event, do)


def test_a_loss_that_is_no_number_in_one_process_ends_all_before_it_moves_weights(scenes, tmp_path):
    def spoil(callback) -> None:
        callback.learn.pred = callback.learn.pred * float("nan")

    def work() -> None:
        with during_fit(at_batch(2, spoil, event="after_pred")):
            stage1(data=str(scenes), run=str(tmp_path / "run"))

    found = together(work)
    assert [type(each) for each in found] == [TrainingFailed] * 2
    assert len({str(each) for each in found}) == 1
    assert "no longer a number in epoch 1, batch 3" in str(found[0])
    _, about = load_tensors(tmp_path / "run/resume/stage1.safetensors", "state")
    assert (about["epochs"], about["batches"]) == (0, 2)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_ctrl_c_in_one_process_stops_all_after_the_batch_and_fewer_or_more_go_on(scenes, tmp_path):
    stage1(data=str(scenes), run=str(tmp_path / "whole"))

    def work() -> None:
        with during_fit(at_batch(1, lambda callback: callback.stop_on_ctrl_c.ask(), epoch=1)):
            stage1(data=str(scenes), run=str(tmp_path / "stopped"))

    assert [type(each) for each in together(work)] == [KeyboardInterrupt] * 2
    for count in (1, 3):
        run = Path(shutil.copytree(tmp_path / "stopped", tmp_path / f"by{count}"))
        go_on = partial(stage1, run=str(run), resume=True)
        assert (go_on() if count == 1 else together(go_on, count)) in (None, [None] * 3)
        near(run / "stage1_gen.safetensors", tmp_path / "whole/stage1_gen.safetensors")
        assert losses(run) == [pytest.approx(row, rel=1e-2, abs=1e-3) for row in losses(tmp_path / "whole")]


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_turns_that_follow_the_loss_are_taken_together(own_run):
    """Each process by itself would see another loss, and wait for ever."""

    def work() -> list[str]:
        return ends(partial(stage4_gan.main, run=str(own_run), force=True, epochs=2, switcher="adaptive", **TINY))

    one, other = together(work)
    assert one == other


def failing(error: BaseException):
    def act(callback) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("memory", "process 2 has not enough memory for its share of a batch"),
        ("version", "process 2 has torch 0.1, process 1 has"),
        ("seed", "process 2 has --seed 7, process 1 has 42: start all processes with the same command"),
        ("lr", "process 2 has lr 0.5, process 1 has 0.001"),
        ("bs", "--bs 4 leaves processes without a photo: give 5 or more, or start fewer"),
    ],
)
def test_one_process_that_is_unlike_the_others_or_fails_ends_all_in_a_sentence(what, sentence, scenes, tmp_path):
    def work() -> None:
        is_odd = processes.rank() == 1
        with pytest.MonkeyPatch.context() as patch, during_fit(at_batch(1, failing(MemoryError()))):
            if what == "version" and is_odd:
                patch.setattr(provenance, "version", lambda name: "0.1")
            odd = {"seed": 7} if what == "seed" and is_odd else {"lr": 0.5} if what == "lr" and is_odd else {}
            stage1(data=str(scenes), run=str(tmp_path / "run"), **{"lr": 1e-3, **odd})

    found = together(work, 5 if what == "bs" else 2)
    assert {type(each) for each in found} == {UserError}
    assert any(sentence in str(each) for each in found)
    assert all(sentence in str(each) or "another process of this training has ended" in str(each) for each in found)
