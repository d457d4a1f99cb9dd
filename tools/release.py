"""What a release is made of: its version is one, and its archive opens without a network.

python tools/release.py zip             the archive of the built site and the notebooks
python tools/release.py check [v1.2.3]  whether the tag may be released
python tools/release.py notes v1.2.3    what the changelog says of it
python tools/release.py try WHEEL       import a wheel where nothing else is installed
python tools/release.py version         the library's
"""

import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
TIME = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# Runs where only the wheel is: arithmetic, and the data that must have travelled with it.
TRIAL = """
import importlib.metadata, importlib.resources, payattention
from payattention.cost import operations
from payattention.shape import GPT2_SMALL
assert sum(operations.forward(GPT2_SMALL, tokens=1024).values()) == 291_648_307_200
inside = importlib.resources.files(payattention)
for name in ("py.typed", "palette.json", "stored", "assets", "explorables/figure.mjs"):
    assert inside.joinpath(name).is_file() or any(inside.joinpath(name).iterdir()), name
assert importlib.metadata.version("payattention") == payattention.__version__
print("payattention", payattention.__version__)
"""
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
    if not re.search(rf"^date-released: {DAY.pattern}$", citation, re.MULTILINE):
        found.append("CITATION.cff: expected date-released: and a day, as 2026-11-22")
    if not notes(version()):
        found.append(f"CHANGELOG.md: expected a section ## {version()}")
    elif not DAY.search(heading(version())):
        found.append(f"CHANGELOG.md: expected the day of the release in {heading(version())!r}")
    if "/OWNER/" in (ROOT / "_config.yml").read_text(encoding="utf-8"):
        found.append("_config.yml: the repository's owner is still the placeholder OWNER")
    return found


def heading(of: str) -> str:
    """The changelog's heading of a version, '' where there is none."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(of)}(?![\w.]).*$", text, re.MULTILINE)
    return found[0] if found else ""


def notes(of: str) -> str:
    """What the changelog says of a version."""
    head = heading(of)
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(head)[2], flags=re.M)[0].strip() if head else ""


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


def packed(wheel: Path) -> str:
    """What a wheel says when it is imported alone: its name and version, '' where it fails.

    Nothing that the library requires is there: what needs no torch must work without.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        python = [str(programs / "python"), "-I"]
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        subprocess.run([*python, *pip, str(wheel.resolve())], check=True)
        told = subprocess.run([*python, "-c", TRIAL], cwd=folder, capture_output=True, text=True)
    if told.returncode:
        print(told.stderr, file=sys.stderr)
    return told.stdout.strip()


def main(arguments: list[str]) -> int:
    match arguments:
        case ["zip"]:
            made = archive()
            print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
            return 0
        case ["check", *tags] if len(tags) < 2:
            found = faults(tags[0] if tags else f"v{version()}")
            print("\n".join(found) or f"v{version()} may be released.")
            return int(bool(found))
        case ["notes", tag]:
            print(notes(tag.removeprefix("v")))
            return 0
        case ["try", wheel]:
            told = packed(Path(wheel))
            print(told)
            return int(told != f"payattention {version()}")
        case ["version"]:
            print(version())
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
