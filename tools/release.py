"""What a release is made of: its version is one, and its archive opens without a network.

``python tools/release.py zip`` writes the archive of the built site and the notebooks;
``python tools/release.py check v1.2.3`` says whether the tag may be released.
"""

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
TIME = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive
READ_ME = """Paying Attention {version}

To read: open site/index.html in a browser. It needs no network.
To run: the notebooks in notebooks/ want payattention; their first cell installs it, or
        pip install payattention-*.whl, where a release has one beside this archive.
Licences: LICENSE (code), LICENSE-TEXT (text and figures).
"""


def version() -> str:
    """The library's version, read and not imported."""
    text = (ROOT / "src/payattention/__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)[1]


def faults(tag: str) -> list[str]:
    """Why a tag may not be released; empty where it may."""
    found = []
    if tag != f"v{version()}":
        found.append(f"tag {tag}: expected v{version()}, after payattention.__version__")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    if not re.search(rf"^version: ['\"]?{re.escape(version())}['\"]?$", citation, re.MULTILINE):
        found.append(f"CITATION.cff: expected version: {version()}")
    if not notes(version()):
        found.append(f"CHANGELOG.md: expected a section ## {version()}")
    if "/OWNER/" in (ROOT / "_config.yml").read_text(encoding="utf-8"):
        found.append("_config.yml: the repository's owner is still the placeholder OWNER")
    return found


def notes(of: str) -> str:
    """What the changelog says of a version."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(of)}\b.*?$(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[1].strip() if found else ""


def archive(site: Path = SITE, target: Path | None = None) -> Path:
    """Write the site and the notebooks into one zip; its path."""
    if not (site / "index.html").exists():
        sys.exit("There is no site yet: make book")
    name = f"paying-attention-{version()}"
    target = target or ROOT / "_build" / f"{name}.zip"
    files = {f"site/{path.relative_to(site).as_posix()}": path for path in site.rglob("*")}
    files |= {f"notebooks/{path.name}": path for path in (ROOT / "chapters").glob("*.ipynb")}
    files |= {name: ROOT / name for name in ("LICENSE", "LICENSE-TEXT", "CITATION.cff")}
    contents = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    contents["READ ME.txt"] = READ_ME.format(version=version()).encode()
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(f"{name}/{inside}", TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    part.replace(target)
    return target


def main(arguments: list[str]) -> int:
    if arguments == ["zip"]:
        made = archive()
        print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
        return 0
    if len(arguments) == 2 and arguments[0] == "check":
        for fault in faults(arguments[1]):
            print(fault)
        return int(bool(faults(arguments[1])))
    if len(arguments) == 2 and arguments[0] == "notes":
        print(notes(arguments[1].removeprefix("v")))
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
