"""Whether bf16 gives as good results as fp32: all four stages on the sample set, with several seeds in both."""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np

from fastcolor import train
from fastcolor.data.cache import forget_gone_folders
from fastcolor.runs.run import cache_folder, open_run
from fastcolor.training.report import held_out_metrics

SEEDS = (42, 43, 44)


def precisions(device: str, **changes) -> dict:
    """Train on the sample set for each seed in fp32 and bf16: metrics of the held-out scenes, and seconds.

    `changes` are flags of `fastcolor train`.
    """
    runs = []
    with tempfile.TemporaryDirectory(prefix="fastcolor-bench-") as top:
        for seed in SEEDS:
            for precision in ("fp32", "bf16"):
                options = {
                    "run": str(Path(top, str(len(runs)))),
                    "device": device,
                    "precision": precision,
                    "seed": seed,
                }
                begin = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()):
                    train.main(**options, **changes)
                seconds = time.perf_counter() - begin
                _, table, _ = held_out_metrics(open_run(**options))
                figures = {
                    name: {key: float(text) for key, text in table[name].items() if text} for name in ("stage 1", "GAN")
                }
                runs.append({"seed": seed, "precision": precision, "seconds": seconds, "metrics": figures})
                print(f"seed {seed}, {precision}: {seconds:.0f} s, {figures}", flush=True)
    forget_gone_folders(cache_folder())
    return {"runs": runs, "summary": _by_precision(runs)}


def _by_precision(runs: list[dict]) -> dict:
    """Mean and standard deviation over seeds, per precision, network and metric."""
    summary = {}
    for precision in ("fp32", "bf16"):
        mine = [run["metrics"] for run in runs if run["precision"] == precision]
        summary[precision] = {
            name: {key: [float(np.mean(values)), float(np.std(values, ddof=1))]
                   for key in mine[0][name] for values in [[each[name][key] for each in mine]]}
            for name in mine[0]
        }  # fmt: skip
    return summary
