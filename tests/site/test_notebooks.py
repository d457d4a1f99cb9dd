"""The download button gives the notebook that lies beside the chapter."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))


def test_no_notebook_is_stale(site):
    """If this fails: make notebooks."""
    given = {file.name: file.read_bytes() for file in (site / "_sources/chapters").glob("*.ipynb")}
    assert given == {file.name: file.read_bytes() for file in NOTEBOOKS}


def test_the_buttons_lead_to_it(visit, address):
    for notebook in NOTEBOOKS:
        page, _ = visit(f"{address}/chapters/{notebook.stem}.html")
        link = page.locator("a.btn-download-notebook-button, [data-bs-original-title*='.ipynb']")
        links = page.eval_on_selector_all("a[href$='.ipynb']", "all => all.map(a => a.href)")
        assert f"{address}/_sources/chapters/{notebook.name}" in links, link.count()
        assert any("colab.research.google.com" in to and notebook.name in to for to in links)
