"""What goes wrong through no fault of the code: said in one sentence that names the file and the remedy."""


class UserError(Exception):
    """Something the user can mend; the command line prints it as one sentence and ends with exit code 2."""


class UnreadablePhoto(UserError):
    """A file that is no photo, or a broken one. `reason` is the sentence without the file's name."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class TrainingFailed(Exception):
    """Training can't go on (the loss is no longer a number); exit code 1, what was saved before stays."""
