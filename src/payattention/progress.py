"""A progress bar, when someone watches."""

import os
import sys

from tqdm.auto import tqdm


def watched() -> bool:
    """Whether someone is likely to look: at a terminal or a notebook, unless told not to.

    The environment variable ``TQDM_DISABLE`` says that nobody does, as when a
    notebook is executed to build a page.
    """
    if os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar(*, total: int, done: int, unit: str, shown: bool | None = None) -> tqdm:
    """A bar that has come as far as ``done``; silent unless someone watches, or as told."""
    shown = watched() if shown is None else shown
    return tqdm(total=total, initial=done, unit=unit, disable=not shown)
