"""What goes wrong through no fault of the code: said in one sentence that names the file and the remedy."""

import re


def printable(text: str) -> str:
    """Text, parts of which come from a file, fit for a terminal: control characters and the like as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(what: object) -> str:
    """What an error of some library says, or a file, short and on one line."""
    return printable(re.sub(r"\s+", " ", str(what)[:1000]).strip())[:120] or type(what).__name__


class UserError(Exception):
    """Something the user can mend; the command line prints it as one sentence and ends with exit code 2."""

    def __init__(self, sentence: str):
        super().__init__(printable(sentence))


class UnreadablePhoto(UserError):
    """A file that is no photo, or a broken one. `reason` is the sentence without the file's name."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = printable(reason)


class TrainingFailed(Exception):
    """Training can't go on (the loss is no longer a number); exit code 1, what was saved before stays."""
