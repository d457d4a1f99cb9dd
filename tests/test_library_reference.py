"""The reference documents the whole library, and chapters and functions link to each other."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from docutils import nodes

from extensions import library_reference as reference

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "payattention"
PAGES = {path.stem: path.read_text("utf8") for path in (ROOT / "reference").glob("*.md")}
DOCUMENTED = [name for text in PAGES.values() for name in reference.MODULE.findall(text)]
MODULES = [
    "payattention." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
]
NAMESPACES = {"payattention.__init__", "payattention.cost.__init__"}
"""Packages that hold nothing but their modules."""


def test_every_module_is_documented_once():
    wanted = {name.removesuffix(".__init__") for name in set(MODULES) - NAMESPACES}
    assert sorted(DOCUMENTED) == sorted(wanted)


def test_every_page_of_the_reference_is_in_the_book():
    assert set(reference.pages_of_reference(ROOT / "reference")) | {"index"} == set(PAGES)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_says_what_it_is(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    silent = [
        public
        for public, found in vars(module).items()
        if not public.startswith("_")
        and getattr(found, "__module__", "") == name
        and (inspect.isfunction(found) or inspect.isclass(found))
        and not inspect.getdoc(found)
    ]
    assert silent == []


def test_what_chapters_explain_exists():
    found = reference.explained(ROOT)
    assert found["chapters/recurrence"]
    for names in found.values():
        for name in names:
            assert callable(reference.resolve(name)) or inspect.ismodule(reference.resolve(name))
            assert name in DOCUMENTED or name.rpartition(".")[0] in DOCUMENTED


@pytest.mark.parametrize("name", ["payattention.recurrence.lstm", "payattention.none", "torch_x.y"])
def test_what_does_not_exist_is_named(name):
    with pytest.raises(LookupError, match=re.escape(name)):
        reference.resolve(name)


class App:
    srcdir = ROOT


def test_a_function_links_to_its_chapter():
    lines = ["Says something."]
    reference.link_back(App, "function", "payattention.tasks.Recall", None, None, lines)
    assert lines[-1] == "Explained in :doc:`What a fixed state forgets </chapters/recurrence>`."
    alone = ["Says something."]
    reference.link_back(App, "function", "payattention.tasks.Nothing", None, None, alone)
    assert alone == ["Says something."]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "some seconds"),
        (32.7, "a minute or two"),
        (90, "a minute or two"),
        (500, "some minutes"),
    ],
)
def test_classes_of_time_are_wide(seconds, words):
    assert reference.coarse(seconds, reference.SECONDS) == words


def test_a_chapter_says_what_it_takes():
    tree = nodes.document(None, None)
    tree += nodes.section("", nodes.title("", "What a fixed state forgets"), nodes.paragraph())

    class Env:
        docname = "chapters/recurrence"

        def note_dependency(self, path):
            assert path.endswith("running.json")

    app = App()
    app.env = Env()
    reference.add_head(app, tree)
    head = tree[0][1]
    assert head["classes"] == ["chapter-head"]
    assert re.match(
        r"Runs in .* on a laptop without a GPU, with .* of memory\. The code: ", head.astext()
    )
    targets = [link["reftarget"] for link in head.findall(lambda n: n.tagname == "pending_xref")]
    assert targets == reference.explained(ROOT)["chapters/recurrence"]
