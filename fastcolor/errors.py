"""Errors that are no bugs: each is one sentence that names the file or flag and the remedy."""

import re


def printable(text: str) -> str:
    """Text that may come from a file, safe for a terminal: control characters and the like become escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(what: object) -> str:
    """What a library's error, or a file, says: on one line, at most 120 characters."""
    try:
        text = str(what)[:1000]
    except RecursionError:  # lists in lists in lists
        text = ""
    return printable(re.sub(r"\s+", " ", text).strip())[:120] or type(what).__name__


class UserError(Exception):
    """Something the user can put right; the command line prints it as one sentence and ends with exit code 2."""

    def __init__(self, sentence: str):
        super().__init__(sentence)
        self.sentence = printable(sentence)

    def __str__(self) -> str:
        return self.sentence  # not `args`: fastai adds its own words to those of what a callback raises


class UnreadablePhoto(UserError):
    """A file that is not a photo, or a broken one. `reason` is the sentence without the file's name."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = printable(reason)


FOR_TRAINING = ("torch", "torchvision", "fastai")
"""What an installation for colouring alone does without."""


def missing(what: str, error: ModuleNotFoundError) -> UserError:
    """What to raise where `what` can't be done because a package is not installed. Our own missing module is raised."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "fastcolor"):
        raise error
    packages = " ".join(FOR_TRAINING) if name in FOR_TRAINING else name
    return UserError(f"{what} needs {name}, which is not installed: run `pip install {packages}`")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, numpy or Python says that memory ran out, a GPU's or main memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, without its import
        return True
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in TOO_LITTLE)
    # what fastai makes of a MemoryError without a message that a callback raises
    return isinstance(error, IndexError) and isinstance(error.__context__, MemoryError)


TOO_LITTLE = ("DefaultCPUAllocator", "could not create a primitive", "could not create a memory")
"""What errors of torch and of its library oneDNN say when main memory runs out."""


class TrainingFailed(Exception):
    """Training can't go on (the loss is no longer a number); exit code 1, what was saved before stays."""
