"""The set-up cell: the first code of every notebook, the same in all of them.

Where the library is there it does nothing. Elsewhere, as in Colab, it installs the book's
released version by its tag and without dependencies, then only those of its requirements
that are missing, and changes no package that is there.
"""

from pathlib import Path

CELL = Path(__file__).with_name("setup_cell.txt")


def source(repository_url: str, version: str) -> str:
    """The cell's code for the book's repository and the library's version.

    Raises ``ValueError`` for an address that is no web address of a repository.
    """
    if not repository_url.startswith("https://") or repository_url.endswith(("/", ".git")):
        raise ValueError(
            f"repository_url={repository_url!r}: expected https://host/owner/repository"
        )
    code = CELL.read_text(encoding="utf8").strip()
    return code.replace("@REPOSITORY@", repository_url).replace("@VERSION@", version)
