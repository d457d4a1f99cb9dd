"""How the chapters' cells are run.

* ``PAYATTENTION_FULL=1`` runs the full experiments: this file then lifts the cells' time limit.
* ``PAYATTENTION_DRAFT=1`` runs nothing: prose, mathematics and drawings only.
* Cells are kept between builds by their own text, which does not change when the library
  under them does. So a change in ``src/`` throws the kept outputs away, and the pages
  that hold cells are read again.
"""

import hashlib
import os
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

from extensions import assets

LIBRARY = assets.ROOT / "src" / "payattention"
NO_LIMIT = -1
STAMP = "library.sha256"


def is_on(variable: str) -> bool:
    """Whether an environment variable asks for something: set, and not to ``0``."""
    return os.environ.get(variable, "") not in ("", "0")


def is_draft(config: Config) -> bool:
    """Whether this build runs no cells."""
    return config.nb_execution_mode == "off"


def configure(app: Sphinx, config: Config) -> None:
    if is_on("PAYATTENTION_FULL"):
        config.nb_execution_timeout = NO_LIMIT
    if is_on("PAYATTENTION_DRAFT"):
        config.nb_execution_mode = "off"


def fingerprint(library: Path) -> str:
    """Hash of every file that a cell's output may depend on, and of the kind of run."""
    digest = hashlib.sha256(os.environ.get("PAYATTENTION_FULL", "").encode())
    for path in sorted(library.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(library).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def forget_stale(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Delete kept outputs of an older library; returns the pages to read again."""
    if is_draft(app.config):
        return []
    build = Path(app.outdir).parent
    stamp = build / STAMP
    now = fingerprint(LIBRARY)
    before = stamp.read_text() if stamp.exists() else None
    if before == now:
        return []
    shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
    stamp.write_text(now)
    return [] if before is None else [doc for doc in env.found_docs if is_notebook(env, doc)]


def is_notebook(env, docname: str) -> bool:
    """Whether a page holds cells (its front matter names a kernel)."""
    return "kernelspec" in Path(env.doc2path(docname)).read_text(encoding="utf8")[:2000]


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure)
    app.connect("env-get-outdated", forget_stale)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
