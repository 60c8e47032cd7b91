"""What the READMEs say is there: links, commands, flags, files, messages; and the README is short enough to be read."""

import importlib.util
import itertools
import re
from argparse import ArgumentParser
from functools import cache
from pathlib import Path

import pytest
from fastcore.script import anno_parser

from fastcolor import cli
from fastcolor.scenes.folder import write_scenes

TOP = Path(__file__).parents[1]
README, HOUSE = TOP / "README.md", TOP / "fastcolor/README.md"
READMES = [
    README,
    *(file for room in ("fastcolor", "data_prep", "tests", "nbs") for file in sorted((TOP / room).rglob("README.md"))),
]
PAGES = [*READMES, *filter(Path.exists, (TOP / ".github/CONTRIBUTING.md", TOP / "fastcolor/CHANGELOG.md"))]
OTHER_PROGRAMS = ("pip ", "pytest", "python -X", "nbdev-clean", "ruff")


def of(pages: list[Path]):
    return pytest.mark.parametrize("page", pages, ids=[str(page.relative_to(TOP)) for page in pages])


def code(page: Path) -> list[str]:
    """All that stands as code: lines of fenced blocks without their comments, and what is in backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [part for block in blocks for line in block.splitlines() for part in line.partition(" #")[0].split("&&")]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [part.strip() for part in lines + inline]


@cache
def parsers() -> dict[str, ArgumentParser]:
    """The parser of each command, by its name."""
    found = {}
    for group in cli.COMMANDS.values():
        for name, door in group.items():
            module, function = door.split(":")
            found[name] = anno_parser(getattr(importlib.import_module(module), function))
    return found


def flags(parser: ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_read_in_two_minutes():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130


@of(PAGES)
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.relative_to(TOP)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.relative_to(TOP)}: {target}"


@of(READMES)
def test_commands_and_flags_that_a_readme_names_are_there(page):
    for part in code(page):
        known = set().union(*map(flags, parsers().values())) | {"--version"}
        if part.startswith(OTHER_PROGRAMS):
            continue
        if module := re.match(r"python -m ([\w.]+)", part):
            assert "NAME" in module[1] or importlib.util.find_spec(module[1]), f"{page.relative_to(TOP)}: {part}"
        elif command := re.match(r"fastcolor ([a-z]\w+)", part):
            assert command[1] in parsers(), f"{page.relative_to(TOP)}: {part}"
            known = flags(parsers()[command[1]])
        given = set(re.findall(r"(?<!\S)(?:--[a-z][a-z0-9-]*|-o)", part))
        assert given <= known, f"{page.relative_to(TOP)}: {part}"


def test_what_the_readme_has_in_python_runs(tmp_path, monkeypatch):
    write_scenes(tmp_path, 3, 40)
    monkeypatch.chdir(tmp_path)
    for drawn, name in zip(sorted(tmp_path.iterdir()), ("old.jpg", "one.jpg", "two.png"), strict=True):
        drawn.rename(name)
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    exec(example, {})  # noqa: S102 (our own)
    assert {"coloured.jpg", "coloured_one.jpg", "coloured_two.png"} <= {path.name for path in tmp_path.iterdir()}


def test_what_tells_where_a_change_goes_names_files_that_are_there():
    text = HOUSE.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert (HOUSE.parent / name).exists(), name


def test_each_room_of_the_house_is_in_its_table():
    rooms = {path.parent.name for path in HOUSE.parent.glob("*/__init__.py")}
    (table,) = re.findall(r"^## The house\n(.*?)^## ", HOUSE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert rooms == set(re.findall(r"`(\w+)/`", table.partition("\n\nColouring needs")[0])) - {"data_prep"}


def test_messages_that_the_readme_explains_are_those_of_the_code():
    said = "\n".join(file.read_text(encoding="utf-8") for file in HOUSE.parent.rglob("*.py"))
    text = HOUSE.read_text(encoding="utf-8").partition("| you see | what to do |")[2].strip().splitlines()
    rows = itertools.takewhile(lambda line: line.startswith("|"), text)
    messages = [found[1] for row in rows if (found := re.match(r"\| `([^`]+)` \|", row))]
    assert len(messages) > 5
    assert [message for message in messages if message not in said] == []
