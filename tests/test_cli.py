"""The command line: one sentence and exit code 2 for a user's error, never a traceback."""

import errno
import importlib
import os
import platform
import re
import resource
import subprocess
import sys
from argparse import SUPPRESS
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL
import pytest
import torch
from fastcore.script import anno_parser

from fastcolor import __version__ as fastcolor_version
from fastcolor import cli, stage1_pretrain_gen
from fastcolor.errors import TrainingFailed, UserError
from fastcolor.prep.greyscale import greyscale

pytestmark = pytest.mark.usefixtures("thin")


def call(function, *argv: str) -> int:
    return cli.run_command(function, list(argv), prog="fastcolor test")


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("x.jpg is no photo: give another"), 2, "fastcolor test: x.jpg is no photo: give another\n"),
        (TrainingFailed("the loss is no longer a number"), 1, "no longer a number"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a/fakes"), 2, "runs/a/fakes does not fit on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 2, "runs/a can't be written: check"),
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "there is not enough memory: give smaller photos"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), 2, "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "there is not enough memory"),
    ],
)
def test_errors_are_one_sentence_with_an_exit_code(error, code, said, capsys):
    assert call(raising(error)) == code
    out = capsys.readouterr()
    assert said in out.err
    assert out.err.count("\n") == 1
    assert not out.out


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes differ"), IndexError()])
def test_a_programming_error_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        call(raising(error))


def test_a_functions_signature_is_its_command_line(capsys):
    def main(
        folder: str,  # where to look
        size: int = 3,  # how large
        deep: bool = False,  # whether below
    ):
        print(folder, size, deep)

    assert call(main, "here", "--size", "5", "--deep") == 0
    assert capsys.readouterr().out == "here 5 True\n"
    with pytest.raises(SystemExit) as error:
        call(main, "--help")
    assert error.value.code == 0
    assert "how large (default: 3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("here --epoch 5", "--epoch is unknown: did you mean --epochs?"),
        ("--epoch=5", "--epoch is unknown: did you mean --epochs?"),
        ("here --save_every 5", "--save_every is unknown: did you mean --save-every?"),
        ("here -epochs 5", "-epochs is unknown: did you mean --epochs?"),
        ("here --zigzag", "--zigzag is unknown: fastcolor test --help lists the flags"),
        ("here --pdp", "--pdp is unknown: fastcolor test --help lists the flags"),  # not fastcore's hidden --pdb
        ("here --epochs many", "argument --epochs: invalid int value: 'many' (see fastcolor test --help)"),
        ("here --count many", "argument --count: invalid int value: 'many' (see fastcolor test --help)"),
        ("here --epochs", "argument --epochs: expected one argument (see fastcolor test --help)"),
        ("", "the following arguments are required: folder (see fastcolor test --help)"),
        ("here there", "unrecognized arguments: there (see fastcolor test --help)"),
    ],
)
def test_wrong_arguments_are_one_sentence_that_names_the_remedy(argv, said, capsys):
    def main(
        folder: str,  # where to look
        epochs: int = 3,  # how often
        save_every: int = 1,  # how often to save
        count: int | None = None,  # how many
    ):
        raise AssertionError

    assert call(main, *argv.split()) == 2
    assert capsys.readouterr() == ("", f"fastcolor test: {said}\n")


def test_values_that_look_a_little_like_flags_are_values(capsys):
    def main(
        folder: str,  # where to look
        low: float = 0.0,  # may be below 0
    ):
        print(folder, low)

    for argv in (["a - b", "--low", "-1"], ["--low=-1", "a - b"], ["--low", "-1", "--", "-a"]):
        assert call(main, *argv) == 0
    assert capsys.readouterr().out == "a - b -1.0\na - b -1.0\n-a -1.0\n"


def fastcolor(*argv, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fastcolor", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


COMMANDS = {name: target for group in cli.COMMANDS.values() for name, target in group.items()}


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_help_lists_the_commands_in_groups_one_line_each(argv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", *argv])
    assert cli.main() == 0
    groups = dict(block.split("\n", 1) for block in capsys.readouterr().out.split("\n\n")[2:-1])
    assert list(groups) == ["colour:", "train:", "prepare:", "judge:", "serve:"]
    for group, lines in groups.items():
        assert [line.split()[0] for line in lines.splitlines()] == list(cli.COMMANDS[group[:-1]])
    assert "\n  greyscale  Make a grey copy of every photo of a folder\n" in "\n".join(groups.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_line_is_the_first_sentence_of_its_docstring(name):
    module, function = COMMANDS[name].split(":")
    called = getattr(importlib.import_module(module), function)
    line = cli.summary(COMMANDS[name])
    assert " ".join(called.__doc__.split()).startswith(f"{line}.")
    assert 10 < len(line) <= 107  # beside the name in a terminal 120 wide


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_no_command(flag):
    code = f"import sys; from fastcolor import cli; sys.argv = ['fastcolor', '{flag}']; cli.main()"
    code += "; print(*(name for name in ('fastcore', 'numpy', 'PIL', 'torch') if name in sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout
    assert result.stderr == "\n"


def test_version_says_what_a_bug_report_needs(monkeypatch, capsys):
    monkeypatch.setattr(cli, "REPORTED", ("torch", "Pillow", "no-such-package"))
    monkeypatch.setattr(sys, "argv", ["fastcolor", "--version"])
    assert cli.main() == 0
    *lines, machine, engines = capsys.readouterr().out.splitlines()
    assert re.match(r"photos are coloured by onnxruntime \d.*: torch \d", engines)
    assert lines[:2] == [f"fastcolor {fastcolor_version}", f"Python {sys.version.split()[0]}"]
    assert lines[2].split()[1].partition("+")[0] == torch.__version__.partition("+")[0]
    assert lines[3:5] == [f"Pillow {PIL.__version__}", "no-such-package is not installed"]
    assert platform.machine() in machine


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("colourise", "there is no command 'colourise': did you mean colorize?"),
        ("grayscale", "there is no command 'grayscale': did you mean greyscale?"),
        ("lab-cgan", "there is no command 'lab-cgan': did you mean lab_cgan?"),
        ("Train", "there is no command 'Train': did you mean train?"),
        ("version", "there is no command 'version': did you mean --version?"),
        ("paint", "there is no command 'paint': `fastcolor --help` lists the commands"),
        ("--verison", "--verison is unknown: did you mean --version?"),
    ],
)
def test_a_command_that_does_not_exist_is_one_sentence_with_the_nearest_one(name, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", name])
    assert cli.main() == 2
    assert capsys.readouterr() == ("", f"fastcolor: {said}\n")


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_threads_that_wait_sleep_early_unless_the_user_says_otherwise(given, found):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_WAIT"))}
    code = "import fastcolor, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env={**clean, **given}, capture_output=True, check=True)
    assert done.stdout.decode().strip() == found


def test_python_m_fastcolor_is_the_same_program(tmp_path):
    result = fastcolor("--help", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, cli.overview(), "")
    assert fastcolor("paint", cwd=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_a_command_is_imported_is_one_sentence(monkeypatch, capsys):
    def interrupted(module):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train"])
    assert cli.main() == 130
    assert capsys.readouterr().err == "fastcolor train: stopped before it began\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--data", "DIR/none"], "DIR/none is not a folder"),
        (["--data", "DIR/empty"], "DIR/empty holds no photos"),
        (["--data", "DIR/broken"], "DIR/broken holds 0 readable photos"),
        (["--size", "7"], "--size must be 32 or more, not 7"),
        (["--run", "DIR/file/run"], "DIR/file"),
        (["--pretrained", "DIR/file"], "DIR/file is truncated, or not a weights file"),
    ],
)
def test_wrong_input_to_a_stage_is_one_sentence_and_exit_code_2(argv, said, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no photo")
    (tmp_path / "file").write_text("x")
    argv = ["--pretrained", "none", "--run", "DIR/run", *argv]
    code = call(stage1_pretrain_gen.main, *(word.replace("DIR", str(tmp_path)) for word in argv))
    error = capsys.readouterr().err
    assert code == 2
    assert said.replace("DIR", str(tmp_path)) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """In here no file can be larger than `size` bytes: writes fail as on a full disk. No bytecode is kept: Python 3.11
    would leave it cut off, and later processes would stumble over it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_in_one_sentence_and_leaves_no_half_file(scenes, tmp_path, capsys):
    with full_disk(600):
        assert call(greyscale, str(scenes), str(tmp_path / "grey")) == 2
    error = capsys.readouterr().err
    assert "does not fit on the disk" in error
    assert error.count("\n") == 1
    left = list((tmp_path / "grey").iterdir())
    assert not [path for path in left if path.name.startswith(".") or path.stat().st_size < 100]


def test_a_disk_that_fills_up_while_photos_are_decoded_leaves_no_half_array(scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    command = ["--data", str(scenes), "--run", str(tmp_path / "run"), "--pretrained", "none", "--size", "32"]
    with full_disk(30_000):
        assert call(stage1_pretrain_gen.main, *command) == 2
    error = capsys.readouterr().err
    assert ".npy (0 MB) can't be written (File too large): free some space, or use --no-cache" in error
    assert "Traceback" not in error
    assert [path.name for path in (tmp_path / "user" / "fastcolor").rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.parametrize("words", [["{}"], ["train", "--recipe", "{}"], ["train", "--recipe={}"]])
@pytest.mark.parametrize(
    ("name", "flag"),
    [("pix2pix", "--l1"), ("lab_cgan", "--adversarial"), ("lab_gan", "--micro"), ("cyclegan", "--blocks")],
)
def test_a_recipe_is_a_command_with_flags_of_its_own_and_those_of_all(words, name, flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", *(word.format(name) for word in words), "--help"])
    with pytest.raises(SystemExit) as error:
        cli.main()
    assert error.value.code == 0
    shown = capsys.readouterr().out
    prog = f"fastcolor {name}" if len(words) == 1 else f"fastcolor train --recipe {name}"
    assert f"usage: {prog} " in shown
    assert all(word in shown for word in (flag, "--data", "--resume", "--epochs"))
    assert "--preset" not in shown  # that of the four stages


@pytest.mark.parametrize("words", ["--recipe vit", "--recipe=vit", "--data x --recipe vit", "--recipe"])
def test_a_recipe_that_does_not_exist_is_one_sentence_and_exit_code_2(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train", *words.split()])
    assert cli.main() == 2
    error = capsys.readouterr().err
    assert "choose cyclegan, lab_cgan, lab_gan or pix2pix" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--data", "x"], (None, ["--data", "x"])),
        (["--data", "x", "--recipe", "pix2pix", "--size", "64"], ("pix2pix", ["--data", "x", "--size", "64"])),
        (["--recipe=lab_gan", "--force"], ("lab_gan", ["--force"])),
    ],
)
def test_the_recipe_is_taken_out_of_the_words_wherever_it_stands(argv, expected):
    assert cli.split_recipe(argv) == expected


@pytest.mark.parametrize("words", [["lab_cgan"], ["train", "--recipe", "lab_cgan"]])
def test_a_recipes_own_flag_reaches_it_and_is_looked_at(words, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["fastcolor", *words, "--adversarial", "hinge", "--run", str(run)])
    assert cli.main() == 2
    assert capsys.readouterr().err.startswith(f"fastcolor {' '.join(words)}: --adversarial hinge ")
    assert not run.exists()


def test_every_module_in_recipes_is_a_command_and_can_be_run_by_itself():
    folder = Path(cli.__file__).parent / "recipes"
    assert set(cli.RECIPES) == {path.stem for path in folder.glob("[!_]*.py")}
    for name, target in cli.RECIPES.items():
        module = importlib.import_module(target.removesuffix(":main"))
        assert callable(module.main)
        assert module.NAME == name


@pytest.mark.parametrize("target", [target for group in cli.COMMANDS.values() for target in group.values()])
def test_the_flags_read_from_a_commands_file_are_those_of_its_parser(target):
    """They are refused without an import, so they must be the same."""
    module, function = target.split(":")
    parser = anno_parser(getattr(importlib.import_module(module), function))
    flags = {flag for action in parser._actions if action.help != SUPPRESS for flag in action.option_strings}
    assert set(cli.flags_of(target)) == flags


def test_an_unknown_flag_is_refused_before_anything_is_imported():
    code = "import sys; from fastcolor.cli import main; sys.argv = ['fastcolor', 'stage1', '--epoch', '3'];"
    code += "assert main() == 2; print(sorted({'torch', 'numpy', 'PIL', 'fastcore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "fastcolor stage1: --epoch is unknown: did you mean --epochs?\n")


@pytest.mark.parametrize(("name", "packages"), [("torch", "torch torchvision fastai"), ("kagglehub", "kagglehub")])
def test_a_command_whose_packages_are_missing_says_what_to_install(name, packages, monkeypatch, capsys):
    def importing(module):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(cli.importlib, "import_module", importing)
    monkeypatch.setattr(sys, "argv", ["fastcolor", "stage1"])
    assert cli.main() == 2
    said = f"this command needs {name}, which is not installed: run `pip install {packages}`"
    assert capsys.readouterr().err == f"fastcolor stage1: {said}\n"


@pytest.fixture
def without_fastai(tmp_path) -> dict[str, str]:
    """An environment in which `import fastai` is Ctrl-C."""
    interrupted = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
    (tmp_path / "fastai.py").write_text(interrupted)
    return {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(cli.__file__).parents[1]}"}


@pytest.mark.parametrize("module", ["fastcolor.stage1_pretrain_gen", "fastcolor.train", "fastcolor.recipes.pix2pix"])
def test_python_m_refuses_a_wrong_flag_before_it_imports_fastai(module, without_fastai, tmp_path):
    command = [sys.executable, "-m", module, "--seeed", "3"]
    result = subprocess.run(command, env=without_fastai, cwd=tmp_path, check=False, capture_output=True, text=True)
    said = f"python -m {module}: --seeed is unknown: did you mean --seed?\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", said)


def test_ctrl_c_while_python_m_imports_is_one_line(without_fastai, tmp_path):
    command = [sys.executable, "-m", "fastcolor.stage1_pretrain_gen", "--seed", "3"]
    result = subprocess.run(command, env=without_fastai, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert result.stderr == "python -m fastcolor.stage1_pretrain_gen: stopped before it began\n"
    assert result.returncode != 0
