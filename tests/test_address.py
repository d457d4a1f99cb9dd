"""The repository's address stands in one place, and everything else follows from it."""

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from extensions import address

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["repository"]["url"]


def config(url, baseurl=""):
    options = {"repository_url": url, "repository_branch": "main"}
    return SimpleNamespace(html_theme_options=options, html_baseurl=baseurl)


def test_the_site_follows_from_the_repository():
    assert address.site(config("https://github.com/Some/book/")) == "https://some.github.io/book/"
    assert address.branch(config("https://github.com/Some/book")) == "main"


def test_another_address_may_be_given():
    assert address.site(config("https://git.example/a/b", "https://a.example")) == (
        "https://a.example/"
    )


def test_an_unknown_host_needs_an_address():
    with pytest.raises(ValueError, match=r"expected https://github\.com/owner/name"):
        address.site(config("https://git.example/a/b"))


def test_no_file_knows_another_address():
    """If this fails: make address."""
    name = REPOSITORY.rpartition("/")[2]
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    wrong = {}
    for file in listing.stdout.splitlines():
        path = ROOT / file
        if path.suffix in (".ipynb", ".md", ".cff", ".toml", ".yml", ".txt") and path.exists():
            found = re.findall(rf"https://github\.com/[\w.-]+/{name}\b", path.read_text("utf8"))
            if set(found) - {REPOSITORY}:
                wrong[file] = sorted(set(found))
    assert wrong == {}
