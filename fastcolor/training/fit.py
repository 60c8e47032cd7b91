"""One fit with all that stages and recipes share: history, samples, resuming, Ctrl-C, precision, averaged weights.

fastai's callbacks have their own attribute `run` (a switch), so our run is called `opened` in them.
"""

from collections.abc import Callable, Sequence

import fastai.callback.schedule  # noqa: F401 (adds fit_one_cycle to Learner)
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.errors import TrainingFailed
from fastcolor.files import shows_progress
from fastcolor.runs.curves import draw_history
from fastcolor.runs.run import Run
from fastcolor.training.average import Averaged
from fastcolor.training.history import History
from fastcolor.training.precision import Precision, go_in_memory
from fastcolor.training.resume import Resumable
from fastcolor.training.stop import StopOnCtrlC, StopOnNaN
from fastcolor.training.together import Together, common_layers


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
    rank: Callable[[dict], tuple] | None = None,
    rivals: Sequence[dict] = (),
) -> None:
    """Train: call `go()`, which calls one of fastai's fit methods once. Call this inside `run.stage`.

    `losses(learn)` gives a training batch's losses, named scalars; `metrics(learn)` a validation batch's metrics, named
    values per photo. After every `save_every` epochs, and after the last, `save()` writes the weights, and the state to
    resume from is saved. After every `sample_every`, `sample(path)` writes a sample grid, and the epoch's row is
    printed. With `average`, a network and a number of steps, that network is measured, shown and saved with its
    averaged weights. With `rank`, which gives a row of the history its place (smaller is better), `save()` writes the
    weights only after epochs that are better than all before them, and than `rivals`, rows of earlier weights: those
    must be in the file already.

    Raises TrainingFailed when the loss is no longer a number, KeyboardInterrupt after Ctrl-C, and UserError for a state
    that does not fit or too little memory. What was saved before is kept.
    """
    precision, stop, check, resumable = Precision(run), StopOnCtrlC(), StopOnNaN(), Resumable(run, stage, save_every)
    history = History(run, stage, losses, metrics, save, sample, save_every, sample_every, rank, rivals)
    averaged = Averaged(*average) if average and average[1] else None
    together = Together() if processes.count() > 1 else None
    shared = [precision, resumable, history, stop, check, *filter(None, [averaged, together])]
    if not shows_progress():
        learn.remove_cb(ProgressCallback)
    with stop.listening():
        try:
            with common_layers(learn.model), learn.added_cbs(shared), learn.no_logging():
                go_in_memory(go, learn, precision, resumable)
        finally:
            for left in filter(None, [precision, together]):
                left.contexts.close()  # an interrupted batch leaves it open
        processes.by_first(lambda: draw_history(run.folder))
        if check.failed:
            raise TrainingFailed(
                f"{check.failed}: begin {stage} anew with --force and a lower --lr (what earlier epochs saved is kept)"
            )
        if processes.any_of(stop.asked):
            # else the file has the best weights, or all epochs were finished before: the weights are in the file alone
            if rank is None and not resumable.state:
                if averaged:
                    averaged.swap()
                processes.by_first(save)
            raise KeyboardInterrupt(
                f"{stage} stopped; its weights are in {run.folder.output(stage)}, and --resume goes on from here"
            )
