"""The command line: one sentence and exit code 2 for a user's error, never a traceback."""

import errno
import resource
import subprocess
import sys

import pytest
import torch

from fastcolor import cli, stage1_pretrain_gen
from fastcolor.errors import TrainingFailed, UserError


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
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 2, "runs/a may not be written"),
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
        count: int | None = None,  # how many
        deep: bool = False,  # whether below
    ):
        print(folder, size, deep)

    assert call(main, "here", "--size", "5", "--deep") == 0
    assert capsys.readouterr().out == "here 5 True\n"
    with pytest.raises(SystemExit) as error:
        call(main, "here", "--size", "large")
    assert error.value.code == 2
    with pytest.raises(SystemExit):
        call(main, "here", "--count", "many")
    assert "argument --count: invalid int value: 'many'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call(main, "--help")
    assert "how large (default: 3)" in capsys.readouterr().out


def fastcolor(*argv, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fastcolor", *argv], capture_output=True, text=True, check=False, **options)


def test_python_m_fastcolor_lists_its_commands():
    result = fastcolor("--help")
    assert result.returncode == 0
    assert all(f"fastcolor {name}\n" in result.stdout for name in cli.COMMANDS)


def test_a_command_that_does_not_exist_is_named():
    result = fastcolor("paint")
    assert result.returncode == 2
    assert "no command 'paint'" in result.stderr


def test_ctrl_c_while_a_command_is_imported_is_one_sentence(monkeypatch, capsys):
    def interrupted(module):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train"])
    assert cli.main() == 130
    assert capsys.readouterr().err == "fastcolor train: stopped before it began\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there(name):
    module, function = cli.COMMANDS[name].split(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--data", "DIR/none"], "DIR/none is no folder"),
        (["--data", "DIR/empty"], "DIR/empty holds no photos"),
        (["--data", "DIR/broken"], "DIR/broken holds 0 readable photos"),
        (["--size", "7"], "--size 7 makes no sense"),
        (["--run", "DIR/file/run"], "DIR/file"),
        (["--pretrained", "DIR/file"], "DIR/file is truncated or no weights file"),
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


def test_a_full_disk_ends_in_one_sentence_and_leaves_no_half_file(scenes, tmp_path):
    """A limit on the size of files fails writes as a full disk does."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    result = fastcolor("greyscale", str(scenes), str(tmp_path / "grey"), preexec_fn=limit)
    assert result.returncode == 2, result.stderr
    assert "does not fit on the disk" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "grey").iterdir() if path.name.startswith(".") or path.stat().st_size < 100]


def test_a_disk_that_fills_up_while_photos_are_decoded_leaves_no_half_array(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    command = ["stage1", "--data", str(scenes), "--run", str(tmp_path / "run"), "--pretrained", "none", "--size", "32"]
    result = fastcolor(*command, preexec_fn=limit)
    assert result.returncode == 2, result.stderr
    assert ".npy (0 MB) can't be written (File too large): free some space, or give --no-cache" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "user" / "fastcolor").rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.parametrize(("name", "flag"), [("pix2pix", "--l1"), ("lab_cgan", "--adversarial"), ("lab_gan", "--micro"), ("cyclegan", "--blocks")])
def test_a_recipe_has_flags_of_its_own_and_those_of_all(name, flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train", "--recipe", name, "--help"])
    with pytest.raises(SystemExit) as error:
        cli.main()
    assert error.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: fastcolor train --recipe {name} " in shown
    assert all(word in shown for word in (flag, "--data", "--resume", "--epochs"))
    assert "--preset" not in shown  # that of the four stages


@pytest.mark.parametrize("words", [["--recipe", "vit"], ["--recipe=vit"], ["--data", "x", "--recipe", "vit"], ["--recipe"]])
def test_a_recipe_that_does_not_exist_is_one_sentence_and_exit_code_2(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train", *words])
    assert cli.main() == 2
    error = capsys.readouterr().err
    assert "give one of pix2pix, lab_cgan, lab_gan, cyclegan" in error
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


def test_a_recipes_own_flag_reaches_it_and_is_looked_at(tmp_path, monkeypatch, capsys):
    words = ["--recipe", "lab_cgan", "--adversarial", "hinge", "--run", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["fastcolor", "train", *words])
    assert cli.main() == 2
    assert capsys.readouterr().err.startswith("fastcolor train --recipe lab_cgan: --adversarial hinge does not exist")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", cli.RECIPES)
def test_every_recipe_is_a_module_that_can_be_run_by_itself(name):
    module = __import__(cli.RECIPES[name], fromlist=["main"])
    assert callable(module.main)
    assert module.NAME == name
