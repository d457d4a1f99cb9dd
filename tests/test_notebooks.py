"""The notebooks beside the chapters: plain, whole, the same at every build."""

import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

import payattention
from extensions import notebooks, setup_cell
from extensions.plain_markdown import Code, Picture

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = [
    path
    for path in sorted((ROOT / "chapters").glob("*.md"))
    if "\njupytext:" in path.read_text(encoding="utf-8")[:200]
]
SOLUTION = re.compile(r"```\{solution-start\}.*?```\{solution-end\}\n```", re.DOTALL)


def source_of(cell):
    """A cell's code without the options of MyST that stand before it."""
    return re.sub(r"\A(?:---\n.*?\n---\n|(?::.*\n)+)\n*", "", cell.source, flags=re.DOTALL)


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


@pytest.fixture
def notebook(chapter):
    path = chapter.with_suffix(".ipynb")
    assert path.exists(), "make notebooks"
    return nbformat.read(path, as_version=4)


def test_every_notebook_has_its_chapter():
    assert {path.stem for path in (ROOT / "chapters").glob("*.ipynb")} == {p.stem for p in CHAPTERS}


def test_its_code_is_the_chapters(chapter, notebook):
    """Cell by cell, but for the set-up before and the solutions, which fold out as text."""
    text = SOLUTION.sub("", chapter.read_text(encoding="utf-8"))
    wanted = [
        source_of(c) for c in jupytext.reads(text, fmt="md:myst").cells if c.cell_type == "code"
    ]
    setup, *found = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert found == wanted
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert setup == setup_cell.source(config["repository"]["url"], payattention.__version__)


def test_it_is_a_valid_notebook_without_outputs(notebook):
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_it_is_plain_markdown(notebook):
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not notebooks.RAW_MYST.search(text)
    assert not re.search(r"\{(?:cite|number|ref|numref|doc|eq|term)[^}]*\}", text)
    assert text.count("<details>") == text.count("</details>")
    for link in re.findall(r"\]\(([^)]*)\)", text):
        assert re.match(r"https?://", link), link


def test_every_exercise_has_its_solution(notebook):
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(re.findall(r"^> \*\*Exercise \d", text, re.MULTILINE)) == text.count(
        "<b>Solution</b>"
    )


@pytest.mark.parametrize(
    "raw",
    [
        "```{note}\nx\n```",
        "text\n:::{tip}\n",
        "see {ref}`here`",
        "{cite:t}`doe`",
        "(label)=",
        ":tags: [hide-input]",
    ],
)
def test_raw_myst_is_found(raw):
    assert notebooks.RAW_MYST.search(raw)


def test_text_and_code_become_cells():
    made = notebooks.cells(["# A", "one", "two", Code("x = 1", {"tags": ["hide-input"]}), "## B"])
    assert [cell["cell_type"] for cell in made] == ["markdown", "code", "markdown"]
    assert made[0]["source"] == "# A\n\none\n\ntwo"
    assert made[1]["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}}
    text = notebooks.as_text({"cells": made})
    assert json.loads(text)["cells"][0]["source"] == ["# A\n", "\n", "one\n", "\n", "two"]
    assert text == notebooks.as_text({"cells": made})


def test_a_picture_stands_in_the_notebook(tmp_path):
    class App:
        srcdir = tmp_path

    (tmp_path / "a.png").write_bytes(b"png")
    found = notebooks.embed(App, Picture("a.svg", 'A "b"', 300))
    assert found == '<img src="data:image/png;base64,cG5n" alt="A &quot;b&quot;" width="300">'
    with pytest.raises(ValueError, match=r"b\.svg: no PNG beside it; make pictures"):
        notebooks.embed(App, Picture("b.svg", "", None))
