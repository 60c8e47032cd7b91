"""The order in which callbacks get an event, smaller numbers first. fastai sorts by `order`, not by `run_after`."""

from enum import IntEnum


class Order(IntEnum):
    """Ours. fastai's are: TrainEvalCallback -10, GANTrainer and its switchers 0, Recorder 50, ProgressCallback and
    ParamScheduler 60."""

    ARRIVAL = -100  # before all others: tells the benchmark's clock that a batch has arrived
    TOGETHER = -5  # before all that looks at a batch, or at the loss of all processes
    PRECISION = 10  # as fastai's MixedPrecision: autocast is open before anything is computed
    HISTORY = 55  # before RESUMABLE: so a row may be written twice (resuming drops it), but is never missing
    AVERAGED = 57  # after HISTORY, which saves the average; before RESUMABLE, which saves the trained weights
    RESUMABLE = 61  # after Recorder and ProgressCallback, which need before_epoch even for skipped epochs
    STEP = 70  # after PRECISION, and after ParamScheduler, which sets the learning rate
    STOP = 90  # after every callback that works on the batch
    CLOCK = 100  # after all others: the batch is done
