"""A release's tag, citation and changelog name one version; its archive is whole and repeats."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

import payattention

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_version_everywhere(release):
    assert release.version() == payattention.__version__
    allowed = ("_config.yml: the repository's owner is still the placeholder OWNER",)
    assert set(release.faults(f"v{payattention.__version__}")) <= set(allowed)


def test_another_tag_is_refused(release):
    assert any("tag v9.9: expected v" in fault for fault in release.faults("v9.9"))
    assert release.main(["check", "v9.9"]) == 1


def test_notes_are_the_changelogs_section(release):
    found = release.notes(payattention.__version__)
    assert found.startswith("- ") and "## " not in found
    assert release.notes("9.9") == ""


def test_the_archive_holds_site_and_notebooks_and_repeats(release, tmp_path):
    site = tmp_path / "html"
    (site / "chapters").mkdir(parents=True)
    (site / "index.html").write_text("<p>cover")
    (site / "chapters/a.html").write_text("<p>a")
    one = release.archive(site, tmp_path / "one.zip")
    two = release.archive(site, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()
    names = {name.partition("/")[2] for name in zipfile.ZipFile(one).namelist()}
    assert {"site/index.html", "site/chapters/a.html", "LICENSE", "READ ME.txt"} <= names
    notebooks = {f"notebooks/{path.name}" for path in (ROOT / "chapters").glob("*.ipynb")}
    assert notebooks and notebooks <= names
    assert not list(tmp_path.glob("*.part"))


def test_without_a_site_there_is_no_archive(release, tmp_path):
    with pytest.raises(SystemExit, match="make book"):
        release.archive(tmp_path)


def test_words_that_it_does_not_know_are_answered(release, capsys):
    assert release.main(["publish"]) == 2
    assert "release.py zip" in capsys.readouterr().out
