"""How the chapters' cells are run: with no time limit for full runs, not at all in a draft."""

import os

from sphinx.application import Sphinx
from sphinx.config import Config

NO_LIMIT = -1


def is_on(variable: str) -> bool:
    """Whether an environment variable asks for something: set, and not to ``0``."""
    return os.environ.get(variable, "") not in ("", "0")


def is_draft(config: Config) -> bool:
    """Whether this build runs no cells."""
    return config.nb_execution_mode == "off"


def configure(app: Sphinx, config: Config) -> None:
    """Lift the cells' time limit for ``PAYATTENTION_FULL=1``, which runs full experiments.

    Nobody watches the progress bars of a build, and none shall land on a page.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")
    if is_on("PAYATTENTION_FULL"):
        config.nb_execution_timeout = NO_LIMIT


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
