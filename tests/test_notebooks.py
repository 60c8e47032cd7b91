"""The notebooks: executed from top to bottom, as a reader would; and kept as they are committed."""

import ast
import base64
import io
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parent.parent / "nbs").glob("*.ipynb"))
NAMES = [
    "00_start", "01_data", "02_lab_color", "03_pretrain_generator", "04_critic", "05_gan", "06_predict", "07_pix2pix",
    "08_lab_gans", "09_cyclegan", "10_evaluate", "11_own_colours", "12_films",
]  # fmt: skip

# What the parameters become, in every notebook that has them: just enough to go through each cell.
REDUCED = {"EPOCHS": 1, "WGAN_EPOCHS": 2, "MINI_EPOCHS": 2, "STEPS": 4, "LIMIT": 40, "COUNT": 20}
GOES_ON = {  # in whose run folder
    "04_critic": "03_pretrain_generator",
    "05_gan": "04_critic",
    "06_predict": "05_gan",
    "10_evaluate": "05_gan",
}


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook; raises where it does not keep to the format."""
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    return notebook


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def parameters(path: Path) -> dict[str, object]:
    """Names and values that the first code cell assigns."""
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(code_cells(path)[0].source).body}


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """A function that executes a notebook in a kernel of its own, once, after those that it goes on from.

    All in one temporary folder, where their runs stay.
    """
    folder, done = tmp_path_factory.mktemp("nbs"), set()

    def run(name: str) -> None:
        if name in done:
            return
        if name in GOES_ON:
            run(GOES_ON[name])
        path = next(path for path in NOTEBOOKS if path.stem == name)
        notebook = read(path)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source += "".join(f"\n{key} = {value}" for key, value in REDUCED.items() if key in parameters(path))
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
        done.add(name)

    return run


@pytest.mark.notebooks
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_from_top_to_bottom(path, execute):
    execute(path.stem)


def test_the_notebooks_are_numbered_in_the_order_in_which_they_are_walked_through():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_begins_with_title_purpose_and_parameters(path):
    cells = read(path).cells
    title, _, purpose = cells[0].source.partition("\n\n")
    assert cells[0].cell_type == "markdown"
    assert title.startswith(f"# {path.stem[:2]} · ")
    assert len(purpose.split()) > 20
    assert cells[1].cell_type == "code"
    assert parameters(path)  # nothing but assignments of plain values


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_small_and_keeps_nothing_but_a_few_pictures(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert path.stat().st_size < 300_000
    assert 1 <= len(outputs) <= 3
    for output in outputs:
        assert output.output_type in ("display_data", "execute_result")
        assert output.data.keys() <= {"image/png", "text/plain"}
        assert output.data.get("text/plain", "").count("\n") < 3
        Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).verify()


def test_nbdev_clean_leaves_the_notebooks_unchanged(tmp_path):
    copies = [Path(shutil.copy(path, tmp_path)) for path in NOTEBOOKS]
    assert copies
    nbdev_clean(fname=str(tmp_path))
    for path, copy in zip(NOTEBOOKS, copies, strict=True):
        assert copy.read_bytes() == path.read_bytes(), f"run nbdev-clean --fname nbs: {path.name}"
