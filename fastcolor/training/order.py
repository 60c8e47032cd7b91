"""The order in which callbacks hear of an event: smaller numbers first. fastai sorts by `order` alone, not by `run_after`."""

from enum import IntEnum


class Order(IntEnum):
    """Ours, among fastai's: TrainEvalCallback -10, GANTrainer and its switchers 0, Recorder 50, ProgressCallback and ParamScheduler 60."""

    ARRIVAL = -100  # before all others: the benchmark's clock is told that a batch has come
    PRECISION = 10  # as fastai's MixedPrecision: autocast is open before anything is computed
    HISTORY = 55  # before RESUMABLE: a row may be written twice, and dropped on resuming, but never go missing
    AVERAGED = 57  # behind HISTORY, which saves the average; before RESUMABLE, which keeps the network as it is trained
    RESUMABLE = 61  # behind Recorder and ProgressCallback, which can't do without the before_epoch of a skipped epoch
    STEP = 70  # behind PRECISION, and behind ParamScheduler, which sets the learning rate
    STOP = 90  # when every other callback has finished with the batch
    CLOCK = 100  # behind all others: the batch is done
