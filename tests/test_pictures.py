"""The PNGs of the notebooks are drawn from the SVGs that lie beside them."""

import importlib.util
import io
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "tools" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_none_is_stale(pictures):
    """If this fails: make pictures."""
    assert [svg.name for svg in pictures.wanted() if not pictures.is_current(svg)] == []


def test_only_chapters_with_cells_need_one(pictures, tmp_path):
    (tmp_path / "a.md").write_text("---\njupytext:\n---\n:::{figure} figures/one.svg\n:::\n")
    (tmp_path / "b.md").write_text("```{image} figures/two.svg\n```\n")
    assert pictures.wanted(tmp_path) == [tmp_path / "figures/one.svg"]


def test_a_changed_picture_is_stale(pictures, tmp_path):
    svg = tmp_path / "a.svg"
    svg.write_text("<svg/>")
    assert not pictures.is_current(svg)
    screenshot = io.BytesIO()
    Image.new("RGB", (3, 2), "white").save(screenshot, format="PNG")
    pictures.write(svg, screenshot.getvalue())
    assert pictures.is_current(svg)
    with Image.open(svg.with_suffix(".png")) as png:
        assert png.size == (3, 2)
    svg.write_text("<svg><g/></svg>")
    assert not pictures.is_current(svg)
