"""history.png: every stage and recipe is in it, and what it shows is what history.csv says."""

import numpy as np
import pytest
from helpers import opened
from matplotlib.figure import Figure
from PIL import Image

from fastcolor.runs.curves import draw_history

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture
def drawn(monkeypatch):
    """What `draw_history` puts on its axes: for each title, each line's points."""
    figures = []
    add = Figure.add_subplot

    def watch(figure, *place):
        figures.append(add(figure, *place))
        return figures[-1]

    monkeypatch.setattr(Figure, "add_subplot", watch)

    def lines() -> dict:
        return {
            a.get_title(): {line.get_label(): line.get_xydata().tolist() for line in a.get_lines()} for a in figures
        }

    return lines


def rows(stage: str, epochs: int = 3, **columns) -> list[dict]:
    fixed = {"seconds": "1", "photos_per_s": "9", "peak_mb": "70", "warning": "fading"}
    return [
        {"stage": stage, "epoch": str(n), **{k: str(v * n) for k, v in columns.items()}, **fixed}
        for n in range(1, epochs + 1)
    ]


def test_losses_stand_in_one_panel_and_each_figure_beside_the_photos_own(scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    figures = {"psnr": 10, "colorfulness": 4, "colorfulness_real": 8}
    run.folder.write_history(rows("pix2pix", gen_l1=0.5, critic_loss=0.25, **figures))
    draw_history(run.folder)
    assert drawn() == {
        "pix2pix: losses": {"gen_l1": [[1, 0.5], [2, 1], [3, 1.5]], "critic_loss": [[1, 0.25], [2, 0.5], [3, 0.75]]},
        "psnr": {"psnr": [[1, 10], [2, 20], [3, 30]]},
        "colorfulness": {"colorfulness": [[1, 4], [2, 8], [3, 12]], "colorfulness_real": [[1, 8], [2, 16], [3, 24]]},
    }


def test_every_stage_has_a_row_of_its_own(scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    run.folder.write_history(
        [*rows("stage1", train_mse=1, psnr=10), *rows("stage3", critic_loss=2), *rows("stage4", gen_mse=3, psnr=11)]
    )
    draw_history(run.folder)
    assert {title for title in drawn() if "losses" in title} == {f"stage{n}: losses" for n in (1, 3, 4)}
    picture = np.asarray(Image.open(run.folder.history_picture).convert("L"))
    thirds = np.array_split(picture, 3)
    assert all((third < 200).any() for third in thirds)


def test_epochs_without_a_figure_are_left_out(scenes, tmp_path, drawn):
    """WGAN's generator has no turn in an epoch of fewer than five batches."""
    run = opened(scenes, tmp_path / "run")
    history = rows("lab_cgan", wasserstein_loss=-1, gen_l1=2)
    history[0]["gen_l1"] = history[2]["gen_l1"] = ""
    run.folder.write_history(history)
    draw_history(run.folder)
    assert drawn()["lab_cgan: losses"] == {"wasserstein_loss": [[1, -1], [2, -2], [3, -3]], "gen_l1": [[2, 4]]}


def test_a_figure_that_is_missing_from_the_first_epoch_is_drawn_all_the_same(scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    history = rows("lab_cgan", gen_l1=2, psnr=3)
    history[0]["gen_l1"] = ""
    run.folder.write_history(history)
    draw_history(run.folder)
    assert drawn()["lab_cgan: losses"]["gen_l1"] == [[2, 4], [3, 6]]


def test_without_a_history_there_is_no_picture(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    draw_history(run.folder)
    assert not (tmp_path / "run").exists()
