"""A release's tag, citation and changelog name one version; its archive is whole and repeats."""

import importlib.util
import subprocess
import sys
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
    found = " ".join(release.faults(f"v{payattention.__version__}"))
    assert "CITATION.cff" not in found and "after payattention" not in found
    assert "expected a section" not in found


def test_another_tag_is_refused(release):
    assert any("tag v9.9: expected v" in fault for fault in release.faults("v9.9"))
    assert release.main(["check", "v9.9"]) == 1


READY = {
    "src/payattention/__init__.py": '__version__ = "1.2.3"\n',
    "CITATION.cff": "version: 1.2.3\ndate-released: 2027-01-31\n",
    "CHANGELOG.md": "## 1.2.3, 2027-01-31\n\n- new\n\n## 1.2, 2026-12-01\n\n- old\n",
    "_config.yml": "url: https://github.com/somebody/book\n",
}


@pytest.fixture
def tree(release, monkeypatch, tmp_path):
    """A tree that may be released."""
    for name, text in READY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


def test_a_tree_that_is_ready_is_released(release, tree, capsys):
    assert release.main(["check", "v1.2.3"]) == release.main(["check"]) == 0
    assert "v1.2.3 may be released" in capsys.readouterr().out
    assert release.notes("1.2.3") == "- new"
    assert release.notes("1.2") == "- old"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("src/payattention/__init__.py", "1.2.3", "1.2.4", "tag v1.2.3: expected v1.2.4"),
        ("CITATION.cff", "version: 1.2.3", "version: 1.2.30", "expected version: 1.2.3"),
        ("CITATION.cff", "2027-01-31", "soon", "expected date-released"),
        ("CHANGELOG.md", "1.2.3", "1.2.3.1", "expected a section ## 1.2.3"),
        ("CHANGELOG.md", ", 2027-01-31", ", unreleased", "expected the day"),
        ("_config.yml", "somebody", "OWNER", "placeholder OWNER"),
    ],
)
def test_what_is_not_ready_is_named(release, tree, file, old, new, said):
    path = tree / file
    path.write_text(path.read_text().replace(old, new))
    assert any(said in fault for fault in release.faults("v1.2.3"))


@pytest.mark.slow
def test_a_wheel_is_tried_alone(release, tmp_path):
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    wheel = next(tmp_path.glob("*.whl"))
    assert release.packed(wheel) == f"payattention {payattention.__version__}"
    without = tmp_path / "without" / wheel.name
    without.parent.mkdir()
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(without, "w") as part:
        for entry in whole.infolist():
            if not entry.filename.endswith("palette.json"):
                part.writestr(entry, whole.read(entry))
    assert release.packed(without) == ""


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
