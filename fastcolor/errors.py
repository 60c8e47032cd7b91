"""What goes wrong through no fault of the code: said in one sentence that names the file and the remedy."""

import re


def printable(text: str) -> str:
    """Text, parts of which come from a file, fit for a terminal: control characters and the like as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(what: object) -> str:
    """What an error of some library says, or a file, short and on one line."""
    try:
        text = str(what)[:1000]
    except RecursionError:  # lists in lists in lists
        text = ""
    return printable(re.sub(r"\s+", " ", text).strip())[:120] or type(what).__name__


class UserError(Exception):
    """Something the user can mend; the command line prints it as one sentence and ends with exit code 2."""

    def __init__(self, sentence: str):
        super().__init__(sentence)
        self.sentence = printable(sentence)

    def __str__(self) -> str:
        return self.sentence  # whatever became of `args`: fastai adds words of its own to what a callback raises


class UnreadablePhoto(UserError):
    """A file that is no photo, or a broken one. `reason` is the sentence without the file's name."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = printable(reason)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, numpy or Python says that memory could not be had, a GPU's or main memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, without its import
        return True
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in TOO_LITTLE)
    # fastai trips over a MemoryError without words that a callback raises
    return isinstance(error, IndexError) and isinstance(error.__context__, MemoryError)


TOO_LITTLE = ("DefaultCPUAllocator", "could not create a primitive", "could not create a memory")
"""What torch's, and its library oneDNN's, errors say of main memory that can't be had."""


class TrainingFailed(Exception):
    """Training can't go on (the loss is no longer a number); exit code 1, what was saved before stays."""
