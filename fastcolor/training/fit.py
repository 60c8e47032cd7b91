"""What all stages and recipes share around fastai's loop: history, samples, Ctrl-C, precision, averages. One callback each.

fastai's callbacks have an attribute `run` of their own (a switch), so our run is called `opened` in them.
"""

from collections.abc import Callable

import fastai.callback.schedule  # noqa: F401 (adds fit_one_cycle to Learner)
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from torch import Tensor, nn

from fastcolor.errors import TrainingFailed
from fastcolor.files import shows_progress
from fastcolor.runs.curves import draw_history
from fastcolor.runs.run import Run
from fastcolor.training.average import Averaged
from fastcolor.training.history import History
from fastcolor.training.precision import Precision, go_in_memory
from fastcolor.training.resume import Resumable
from fastcolor.training.stop import StopOnCtrlC, StopOnNaN


def fit(
    learn: Learner,
    run: Run,
    stage: str,
    go: Callable[[], None],
    *,
    losses: Callable[[Learner], dict[str, Tensor]],
    metrics: Callable[[Learner], dict[str, Tensor]],
    save: Callable[[], None],
    sample: Callable,
    average: tuple[nn.Module, float] | None = None,
    save_every: int = 1,
    sample_every: int = 1,
) -> None:
    """Call `go()`, which calls one of fastai's fit methods once, with all that stages share. To be called inside `run.stage`.

    `losses` gives named scalars of a training batch, `metrics` named values per photo of a validation batch. After every
    `save_every` epochs, and the last one, `save()` writes the weights, and the state to resume from is kept; after every
    `sample_every`, `sample(path)` writes a sample grid and the epoch's row is printed. With `average`, a network and a
    number of steps, what is measured, shown and saved of that network is its running average. Raises TrainingFailed where
    the loss is no longer a number, and KeyboardInterrupt after Ctrl-C; both keep what was reached.
    """
    precision, stop, check, resumable = Precision(run), StopOnCtrlC(), StopOnNaN(), Resumable(run, stage, save_every)
    history = History(run, stage, losses, metrics, save, sample, save_every, sample_every)
    averaged = Averaged(*average) if average and average[1] else None
    shared = [precision, resumable, history, stop, check, *filter(None, [averaged])]
    if not shows_progress():
        learn.remove_cb(ProgressCallback)
    with stop.listening():
        try:
            with learn.added_cbs(shared), learn.no_logging():
                go_in_memory(go, learn, precision, resumable)
        finally:
            precision.contexts.close()  # a batch that was broken off has left it open
        draw_history(run.folder)
        if check.failed:
            raise TrainingFailed(
                f"{check.failed}: what earlier epochs saved is kept; begin {stage} anew with --force and a lower --lr"
            )
        if stop.asked:
            if (
                not resumable.state
            ):  # else all epochs had been finished before: the file has the weights, the network hasn't
                if averaged:
                    averaged.swap()
                save()
            raise KeyboardInterrupt(
                f"{stage} stopped; its weights are in {run.folder.output(stage)}, and --resume goes on from here"
            )
