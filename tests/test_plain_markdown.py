"""Every construct of a chapter has its plain form; what has none is refused."""

import re

import pytest
from docutils import nodes
from sphinx.application import Sphinx

from extensions.plain_markdown import Code, Writer, fence, source_address

CONFIG = """
extensions = ["myst_nb", "sphinx_exercise", "sphinx_proof", "sphinx_design", "sphinxcontrib.bibtex"]
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
bibtex_bibfiles = ["works.bib"]
bibtex_reference_style = "author_year"
exclude_patterns = ["_build"]
numfig = True
html_theme = "basic"
"""
HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
---
"""
WORKS = """@article{doe2020, author={Doe, Jane}, title={On Stars}, journal={Sky}, year={2020},
doi={10.1000/stars}}
"""
# source, and what must stand in the Markdown
CASES = {
    "emphasis": ("*a* and **b**, `c_d`.", "*a* and **b**, `c_d`."),
    "special": (
        r"5 \* 3, a\_b\_c, \$4 and \$5, x < y.",
        r"5 \* 3, a\_b\_c, \$4 and \$5, x &lt; y.",
    ),
    "formula": ("So $a_i * b_j$ it is.", "So $a_i * b_j$ it is."),
    "display": ("$$\n\\sum_i x_i\n$$", "$$\n\\sum_i x_i\n$$"),
    "equation": ("$$\nx = 1\n$$ (one)\n\nAs {eq}`one` says.", "x = 1 \\tag{1}\n$$"),
    "citation": ("So it is {cite}`doe2020`.", "[[Doe, 2020](https://doi.org/10.1000/stars)]."),
    "heading": ("(here)=\n## Next\n\nSee [](#here).", "## Next\n\nSee [Next](page#here)."),
    "link": ("[arXiv](https://arxiv.org/abs/1)", "[arXiv](https://arxiv.org/abs/1)"),
    "note": ("```{note}\nMind *this*.\n```", "> **Note**\n>\n> Mind *this*."),
    "titled": ("```{admonition} Why\nSo.\n```", "> **Why**\n>\n> So."),
    "folded": (
        "```{admonition} More\n:class: dropdown\nInside.\n```",
        "<details><summary><b>More</b></summary>\n\nInside.\n\n</details>",
    ),
    "code fence": ("```python\na = 1\n```", "```python\na = 1\n```"),
    "list": ("- one\n  - two\n- three\n\n  more", "- one\n\n  - two\n- three\n\n  more"),
    "numbers": ("3. three\n4. four", "3. three\n4. four"),
    "code in a list": (
        "- see\n\n  ```python\n  a = 1\n  ```",
        "- see\n\n  ```python\n  a = 1\n  ```",
    ),
    "definition": ("word\n: its meaning", "- **word**\n\n  its meaning"),
    "table": (
        "| a | b |\n|---|---|\n| $x_1$ | p \\| q |",
        "| a | b |\n| --- | --- |\n| $x_1$ | p \\| q |",
    ),
    "quotation": ("> as she said", "> as she said"),
    "rule": ("above\n\n---\n\nbelow", "above\n\n---\n\nbelow"),
    "footnote": ("Text[^1].\n\n[^1]: The note.", "Text<sup>1</sup>."),
    "exercise": (
        "```{exercise} Count\n:label: count\nHow many?\n```",
        "> **Exercise 1 (Count)**\n>\n> How many?",
    ),
    "solution": (
        "```{exercise}\n:label: q\nHow?\n```\n\n```{solution} q\n:class: dropdown\nSo.\n```",
        "<details><summary><b>Solution</b></summary>\n\nSo.\n\n</details>",
    ),
    "theorem": ("```{prf:theorem} Bound\nIt *holds*.\n```", "> It *holds*."),
    "tabs": (
        "::::{tab-set}\n:::{tab-item} Left\nHere.\n:::\n:::{tab-item} Right\nThere.\n:::\n::::",
        "**Left**\n\nHere.\n\n**Right**\n\nThere.",
    ),
    "starts like a list": (r"1\. of all, \+ and \# too", "1\\. of all"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Each case's blocks: all of them are pages of one small book."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "conf.py").write_text(CONFIG)
    (folder / "works.bib").write_text(WORKS)
    pages = {f"case{i}": source for i, (source, _) in enumerate(CASES.values())}
    pages["cells"] = CELLS
    for name, source in pages.items():
        (folder / f"{name}.md").write_text(f"{HEADER}\n# Title\n\n{source}\n")
    toc = "\n".join(pages)
    end = f"```{{toctree}}\n{toc}\n```\n\n```{{bibliography}}\n```\n"
    (folder / "bibliography.md").write_text(f"# Works\n\n{end}")
    found = {}

    def keep(app, pagename, templatename, context, doctree):
        if doctree is not None and pagename in pages:
            writer = Writer(
                address=lambda target: "page" + target if target.startswith("#") else target,
                number=lambda node: number(app, pagename, node),
                picture=lambda picture: f"<img {picture.alt}>",
            )
            try:
                found[pagename] = list(writer.blocks(doctree))
            except ValueError as error:
                found[pagename] = ["# Title", str(error)]

    def number(app, pagename, node):
        if isinstance(node, nodes.math_block):
            return str(node["number"])
        numbers = app.env.toc_fignumbers.get(pagename, {})
        return next(("1" for kind in numbers.values() for name in node["ids"] if name in kind), "")

    build = folder / "_build"
    app = Sphinx(
        *(folder, folder, build, build / "trees", "html"),
        confoverrides={"root_doc": "bibliography"},
        status=None,
        warning=None,
    )
    app.connect("html-page-context", keep)
    app.build()
    return found


CELLS = """
```{code-cell} ipython3
:tags: [hide-input]
:mystnb:
:  image:
:    alt: "A line that falls."
draw(1)
```

```{exercise-start} Do it
:label: do-it
```
Write `f`.
```{code-cell} ipython3
def f(): ...
```
```{exercise-end}
```

```{solution-start} do-it
:class: dropdown
```
```{code-cell} ipython3
def f(): return 1
```
```{solution-end}
```
"""


@pytest.mark.parametrize("name", CASES)
def test_a_construct_has_its_plain_form(written, name):
    title, *blocks = written[f"case{list(CASES).index(name)}"]
    assert title == "# Title"
    text = "\n\n".join(blocks)
    assert CASES[name][1] in text
    assert not re.search(r"\{\w+\}`|:::|```\{", text)


def test_cells_stay_code_and_solutions_do_not_run(written):
    _, picture, words, exercise, attempt, solution = written["cells"]
    assert picture == Code("draw(1)", picture.metadata)
    assert picture.metadata["tags"] == ["hide-input"]
    assert words.startswith("<details><summary><b>The figure in words") and "falls." in words
    assert exercise.startswith("> **Exercise 1 (Do it)**")
    assert attempt.text == "def f(): ..."
    assert "```python\ndef f(): return 1\n```" in solution and solution.startswith("<details>")


def writer():
    return Writer(address=str, number=lambda node: "", picture=lambda picture: picture.uri)


def test_an_unknown_construct_is_refused():
    with pytest.raises(ValueError, match="no plain Markdown for the block <line_block>"):
        list(writer().blocks(nodes.container("", nodes.line_block())))
    with pytest.raises(ValueError, match="no plain Markdown for raw html: '<b>'"):
        list(writer().blocks(nodes.container("", nodes.raw("", "<b>", format="html"))))


def test_a_cell_without_its_source_is_refused():
    cell = nodes.container(nb_element="cell_code", cell_metadata={})
    with pytest.raises(ValueError, match="tag it hide-input"):
        list(writer().blocks(nodes.container("", cell)))


def test_a_fence_is_longer_than_what_it_holds():
    assert fence("```\na\n```", "python").startswith("````python\n")


@pytest.mark.parametrize(
    ("title", "address"),
    [
        ("A. T. J, 2020. doi:10.1/x.y.", "https://doi.org/10.1/x.y"),
        ("A. T. 2020. arXiv:2001.00001.", "https://arxiv.org/abs/2001.00001"),
        ("A. T. 2020. URL: https://a.b/c.", "https://a.b/c"),
        ("A. T. 2020.", None),
    ],
)
def test_where_a_work_can_be_read(title, address):
    assert source_address(title) == address
