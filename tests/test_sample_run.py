"""The README's first command, whole: what it must reach on scenes that it never trained on, judged from outside."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

import fastcolor
from fastcolor.train import main


def colorfulness(image: np.ndarray) -> float:
    """Hasler and Suesstrunk 2003, M3, of an RGB image in 0..255."""
    r, g, b = np.moveaxis(image.astype(float), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def without_color(image: np.ndarray) -> np.ndarray:
    lab = rgb2lab(image)
    lab[..., 1:] = 0
    return (lab2rgb(lab) * 255).round().astype(np.uint8)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_sample_run_learns_colors_worth_4_db_and_85_percent_of_colorfulness(tmp_path, capsys):
    if "SAMPLE_RUN" in os.environ:  # made just before, by the command itself
        run, printed = Path(os.environ["SAMPLE_RUN"]), Path(os.environ["SAMPLE_RUN_PRINTED"]).read_text()
    else:
        run = tmp_path / "run"
        main(run=str(run))
        printed = capsys.readouterr().out
    with open(run / "split.csv", newline="") as file:
        held_out = [Path(run, "sample", row["file"]) for row in csv.DictReader(file) if row["part"] == "valid"]
    assert len(held_out) == 32
    gains, shares = [], []
    for path in held_out:
        real = np.asarray(Image.open(path).convert("RGB"))
        fake = np.asarray(fastcolor.predict(path, run / "stage4_gen.safetensors"))
        gains.append(peak_signal_noise_ratio(real, fake) - peak_signal_noise_ratio(real, without_color(real)))
        shares.append((colorfulness(fake), colorfulness(real)))
    assert np.mean(gains) >= 4
    assert np.mean(shares, axis=0)[0] >= 0.85 * np.mean(shares, axis=0)[1]

    assert f"{run}/contact_sheet.png: grey | before | stage 1 | GAN | real" in printed
    for row in ("stage1", "stage2", "stage3", "stage4", "grey", "before", "stage 1", "GAN", "real"):
        assert f"\n{row}  " in printed
    assert Image.open(run / "coloured.png").size == (128, 128)
    assert Image.open(run / "contact_sheet.png").width > 5 * 96
