"""The `fastcolor` command: a function's signature is its command line, a user's error is one sentence and exit code 2.

A new command is one line in COMMANDS. A new recipe is one module in `fastcolor/recipes`, and found there. No command is
imported before it is asked for: `fastcolor --help` must not wait for torch or fastai.
"""

import errno
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from fastcolor import processes
from fastcolor.errors import TrainingFailed, UserError, is_out_of_memory, missing

PACKAGE = Path(__file__).parent
RECIPES = {
    name: f"fastcolor.recipes.{name}:main"
    for _, name, _ in pkgutil.iter_modules([str(PACKAGE / "recipes")])
    if not name.startswith("_")
}
COMMANDS = {  # group: name: module:function
    "colour": {
        "colorize": "fastcolor.colorize.folder:main",
    },
    "train": {
        "train": "fastcolor.train:main",
        "stage1": "fastcolor.stage1_pretrain_gen:main",
        "stage2": "fastcolor.stage2_generate_fakes:main",
        "stage3": "fastcolor.stage3_pretrain_critic:main",
        "stage4": "fastcolor.stage4_gan:main",
        **RECIPES,
    },
    "prepare": {
        "sample": "fastcolor.prep.sample:sample",
        "download": "fastcolor.prep.download:download",
        "clean": "fastcolor.prep.clean:clean",
        "crop": "fastcolor.prep.crop:crop",
        "greyscale": "fastcolor.prep.greyscale:greyscale",
        "pairs": "fastcolor.prep.pairs:pairs",
    },
    "judge": {
        "evaluate": "fastcolor.evaluate.command:main",
        "bench": "fastcolor.bench:main",
    },
    "serve": {
        "app": "fastcolor.app.command:main",
        "export": "fastcolor.colorize.export:main",
    },
}
REPORTED = ("torch", "torchvision", "fastai", "fastcore", "numpy", "Pillow", "onnxruntime")
"""Packages whose versions a bug report needs."""
ENGINES = ("onnxruntime", "torch")
"""What runs the networks that colour: see `fastcolor.colorize.load`."""


def main() -> int:
    """Entry point of `fastcolor` and `python -m fastcolor`: the first word names the command."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(overview(), end="")
        return 0
    if name == "--version":
        print(versions(), end="")
        return 0
    known = {name: target for group in COMMANDS.values() for name, target in group.items()}
    target, prog = known.get(name), f"fastcolor {name}"
    if target is None:
        hint = _nearest(name, [*known, "--help", "--version"]) or "`fastcolor --help` lists the commands"
        what = f"{name} is unknown" if name.startswith("-") else f"there is no command {name!r}"
        return _fail("fastcolor", f"{what}: {hint}")
    if name == "train":
        recipe, argv = split_recipe(argv)
        if recipe is not None and recipe not in RECIPES:
            *others, last = RECIPES
            return _fail(prog, f"--recipe {recipe!r} is unknown: choose {', '.join(others)} or {last}")
        if recipe is not None:
            target, prog = RECIPES[recipe], f"{prog} --recipe {recipe}"
    module, function = target.split(":")
    try:
        refuse_unknown(argv, flags_of(target), prog)  # here: importing what a command needs may take seconds
        called = getattr(importlib.import_module(module), function)
    except UserError as error:
        return _fail(prog, str(error))
    except ModuleNotFoundError as error:
        return _fail(prog, str(missing("this command", error)))
    except KeyboardInterrupt:  # fastai's import takes seconds
        print(f"{prog}: stopped before it began", file=sys.stderr)
        return 130
    return run_command(called, argv, prog=prog)


def before_import(module: str, argv: list[str]) -> None:
    """What `main` does before a command is imported, for a `module` that is run with `python -m`: refuse unknown flags
    (SystemExit), and let Ctrl-C end in one line.
    """
    prog = f"python -m {module}"
    target = f"{module}:main"
    if not any(target in group.values() for group in COMMANDS.values()):
        return
    try:
        refuse_unknown(argv, flags_of(target), prog)
    except UserError as error:
        sys.exit(_fail(prog, str(error)))
    shown = sys.excepthook

    def hook(kind, error, traceback):
        if kind is KeyboardInterrupt:
            print(f"{prog}: stopped before it began", file=sys.stderr)
        else:
            shown(kind, error, traceback)

    sys.excepthook = hook


def run_command(main: Callable, argv: list[str] | None = None, prog: str | None = None) -> int:
    """Parse `argv` by `main`'s signature and comments (fastcore's docments), call it, return the exit code.

    That is 0 or what `main` returns as an int; 2 for wrong arguments, a UserError, and files that can't be read or
    written; 1 for TrainingFailed; 130 after Ctrl-C. `--help` raises SystemExit(0), as argparse has it.
    """
    from fastcore.script import anno_parser  # takes 0.2 s, as long as all of `fastcolor --help` may

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the console's encoding lacks must not end the run
            stream.reconfigure(errors="backslashreplace")
    parser = anno_parser(main, prog=prog)
    try:
        options = _parse(parser, sys.argv[1:] if argv is None else argv)
        result = main(**options)
        processes.leave()
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
        message = "there is not enough memory: give smaller photos, or a smaller --size or --bs where there is one"
        code = 2
    except KeyboardInterrupt as stopped:
        message = str(stopped) or "stopped: the same command goes on from here (a stage: with --resume)"
        code = 130
    if processes.said(message):
        return code
    start = "\n" if code == 130 and sys.stdout.isatty() else ""  # a progress bar stands in the line
    return _fail(f"{start}{parser.prog}", message, code)


def _fail(prog: str, sentence: str, code: int = 2) -> int:
    """Print `sentence` to stderr, return the exit code."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    return code


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """ "did you mean ...?" with what of `known` looks most like `word`; None if nothing does."""
    import difflib

    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else None


def _parse(parser, argv: list[str]) -> dict:
    """The command's arguments by name. Raises UserError for wrong ones; a flag must be written out (`--epochs`)."""

    from argparse import SUPPRESS

    def error(message: str):
        raise UserError(f"{message} (see {parser.prog} --help)")

    parser.error, parser.allow_abbrev = error, False
    flags = [flag for action in parser._actions if action.help != SUPPRESS for flag in action.option_strings]
    for action in parser._actions:
        # fastcore's, of `int | None`: else errors would call it so
        if action.metavar and getattr(action.type, "__name__", "") == "_parse":
            action.type.__name__ = action.metavar.strip("()")
    refuse_unknown(argv, flags, parser.prog)
    return {name: value for name, value in vars(parser.parse_args(argv)).items() if name not in ("pdb", "xtra")}


def refuse_unknown(argv: list[str], flags: list[str], prog: str) -> None:
    """Raise UserError for the first word that looks like a flag and is none of `flags`, with the nearest one."""
    for word in argv[: argv.index("--")] if "--" in argv else argv:
        flag = word.partition("=")[0]
        if re.match(r"--?[^\W\d][\w-]*$", flag) and flag not in flags and flag[:2] not in flags:
            raise UserError(f"{flag} is unknown: {_nearest(flag, flags) or f'{prog} --help lists the flags'}")


def _os_error(error: OSError) -> str:
    where = error.filename2 or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        again = "free some space, then run the same command again (a stage: with --resume)"
        return f"{where} does not fit on the disk any more: {again}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} can't be written: check its permissions, or give another folder"
    return f"{where}: {error.strerror or error}"


def split_recipe(argv: list[str]) -> tuple[str | None, list[str]]:
    """What `--recipe` names, None where it isn't there, and the other arguments, which are the recipe's own."""
    for i, word in enumerate(argv):
        if word == "--recipe":
            return "".join(argv[i + 1 : i + 2]), argv[:i] + argv[i + 2 :]
        if word.startswith("--recipe="):
            return word.partition("=")[2], argv[:i] + argv[i + 1 :]
    return None, argv


def overview() -> str:
    """What `fastcolor --help` prints: the commands in their groups, one line each."""
    width = max(len(name) for group in COMMANDS.values() for name in group)
    lines = ["usage: fastcolor COMMAND ...", "", "Teach a network to colour greyscale photos, and colour them."]
    for group, commands in COMMANDS.items():
        lines += ["", f"{group}:", *(f"  {name:{width}}  {summary(target)}" for name, target in commands.items())]
    lines += ["", "fastcolor COMMAND --help shows what a command takes, fastcolor --version what a bug report needs."]
    return "\n".join(lines) + "\n"


def _read_function(target: str) -> tuple["ast.FunctionDef", "ast.Module"]:  # noqa: F821 (imported where it is needed)
    """A `module:function` of fastcolor, and its module, read from the file without an import."""
    import ast

    module, function = target.split(":")
    path = PACKAGE.joinpath(*module.split(".")[1:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function), tree


def _delegated(function: "ast.FunctionDef", tree: "ast.Module") -> str | None:  # noqa: F821
    """The `module:function` whose flags a function takes too: `@delegates(open_run)`, which its module imports."""
    names = {call.args[0].id for call in function.decorator_list if getattr(call, "args", None)}
    imports = [node for node in tree.body if hasattr(node, "names") and hasattr(node, "module")]
    found = (f"{node.module}:{each.name}" for node in imports for each in node.names if each.name in names)
    return next(found, None)


def flags_of(target: str) -> list[str]:
    """The flags of a command, read as `summary` is, with those that `@delegates` adds."""
    function, tree = _read_function(target)
    arguments, other = function.args, _delegated(function, tree)
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    flags = ["-h", "--help", *(flags_of(other) if other else [])]
    for argument, default in zip(arguments.args, defaults, strict=True):
        if default is None and not any(letter.isupper() for letter in argument.arg):
            continue  # a word without a flag
        long = argument.arg.lower().replace("_", "-")
        flags.append(f"--no-{long}" if getattr(default, "value", None) is True else f"--{long}")
        flags += [f"-{letter.lower()}" for letter in argument.arg if letter.isupper()]
    return flags


def summary(target: str) -> str:
    """The first sentence of the docstring of a command, read from its file without an import."""
    import ast

    docstring = ast.get_docstring(_read_function(target)[0]) or ""
    return re.split(r"\.(?:\s|$)", " ".join(docstring.split()), maxsplit=1)[0]


def versions() -> str:
    """What `fastcolor --version` prints: versions and the machine's platform, one line each; nothing is imported."""
    import platform
    from importlib import metadata

    from fastcolor import __version__

    def version(package: str) -> str:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"{package} is not installed"

    lines = [f"fastcolor {__version__}", f"Python {platform.python_version()}", *map(version, REPORTED)]
    engines = f"photos are coloured by {version(ENGINES[0])}; on GPUs, and by other networks: {version(ENGINES[1])}"
    return "\n".join([*lines, platform.platform(), engines]) + "\n"
