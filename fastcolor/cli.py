"""The `fastcolor` command: a function's signature is its command line, a user's error is one sentence and exit code 2."""

import errno
import importlib
import sys
from collections.abc import Callable

from fastcore.script import anno_parser

from fastcolor.errors import TrainingFailed, UserError, is_out_of_memory

# Imported only when called for: `fastcolor greyscale` need not wait for fastai.
COMMANDS = {
    "colorize": "fastcolor.colorize.folder:main",
    "train": "fastcolor.train:main",
    "stage1": "fastcolor.stage1_pretrain_gen:main",
    "stage2": "fastcolor.stage2_generate_fakes:main",
    "stage3": "fastcolor.stage3_pretrain_critic:main",
    "stage4": "fastcolor.stage4_gan:main",
    "export": "fastcolor.colorize.onnx:main",
    "evaluate": "fastcolor.evaluate.command:main",
    "greyscale": "fastcolor.prep.greyscale:greyscale",
    "sample": "fastcolor.prep.sample:sample",
    "clean": "fastcolor.prep.clean:clean",
    "crop": "fastcolor.prep.crop:crop",
    "pairs": "fastcolor.prep.pairs:pairs",
    "download": "fastcolor.prep.download:download",
    "bench": "fastcolor.bench:main",
    "app": "fastcolor.app:main",
}
RECIPES = {name: f"fastcolor.recipes.{name}" for name in ("pix2pix", "lab_cgan", "lab_gan", "cyclegan")}
"""Modules that `fastcolor train --recipe` runs instead of the four stages, each with flags of its own."""


def run_command(main: Callable, argv: list[str] | None = None, prog: str | None = None) -> int:
    """Parse `argv` by `main`'s signature and comments (fastcore's docments), call it, return the exit code.

    0 or what `main` returns as an int; 2 for a UserError and for files that can't be read or written; 1 for
    TrainingFailed; 130 after Ctrl-C.
    """
    parser = anno_parser(main, prog=prog)
    for action in parser._actions:
        # fastcore's, of `int | None`: else errors would call it so
        if action.metavar and getattr(action.type, "__name__", "") == "_parse":
            action.type.__name__ = action.metavar.strip("()")
    options = vars(parser.parse_args(argv))
    options = {name: value for name, value in options.items() if name not in ("pdb", "xtra")}
    try:
        result = main(**options)
        return result if isinstance(result, int) else 0
    except UserError as error:
        message, code = str(error), 2
    except TrainingFailed as error:
        message, code = str(error), 1
    except OSError as error:
        message, code = _os_error(error), 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message, code = "there is not enough memory: give smaller photos, or a smaller --size or --bs where there is one", 2
    except KeyboardInterrupt as stopped:
        message, code = str(stopped) or "stopped; the same command goes on where it stopped (a stage: with --resume)", 130
    start = "\n" if code == 130 and sys.stdout.isatty() else ""  # a progress bar stands in the line
    print(f"{start}{parser.prog}: {message}", file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    where = error.filename2 or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where} does not fit on the disk any more: free some space, then run the same command again (a stage: with --resume)"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} may not be written: check its permissions, or give another folder"
    return f"{where}: {error.strerror or error}"


def main() -> int:
    """Entry point of `fastcolor` and `python -m fastcolor`: the first word names the command."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name not in COMMANDS:
        lines = "".join(f"  fastcolor {command}\n" for command in COMMANDS)
        print(f"usage: fastcolor COMMAND [--help]\n\n{lines}", end="", file=sys.stdout if name in ("-h", "--help") else sys.stderr)
        if name in ("-h", "--help"):
            return 0
        print(f"fastcolor: there is no command {name!r}", file=sys.stderr)
        return 2
    module, function = COMMANDS[name].split(":")
    recipe, rest = split_recipe(argv) if name == "train" else (None, argv)
    if recipe is not None:
        if recipe not in RECIPES:
            print(f"fastcolor train: --recipe {recipe!r} does not exist: give one of {', '.join(RECIPES)}", file=sys.stderr)
            return 2
        module, name, argv = RECIPES[recipe], f"train --recipe {recipe}", rest
    try:
        called = getattr(importlib.import_module(module), function)
    except KeyboardInterrupt:  # fastai's import takes seconds
        print(f"fastcolor {name}: stopped before it began", file=sys.stderr)
        return 130
    return run_command(called, argv, prog=f"fastcolor {name}")


def split_recipe(argv: list[str]) -> tuple[str | None, list[str]]:
    """What `--recipe` names, None where it isn't there, and the other arguments, which are the recipe's own."""
    for i, word in enumerate(argv):
        if word == "--recipe":
            return "".join(argv[i + 1 : i + 2]), argv[:i] + argv[i + 2 :]
        if word.startswith("--recipe="):
            return word.partition("=")[2], argv[:i] + argv[i + 1 :]
    return None, argv
