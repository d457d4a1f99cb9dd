"""Files that are either whole or not there."""

import os
import tempfile
import time
from pathlib import Path

TEMPORARY = ".part"
LITTER_SECONDS = 3600
"""Age at which a temporary file is no longer one that somebody is writing."""


def replace(path: Path, content: bytes) -> None:
    """Write the content so that a reader finds all of the old file or all of the new one.

    The bytes go to a temporary file beside it, to the disk, and only then to their
    name. A process that is killed, or a full disk, leaves the old file as it was.

    Raises ``OSError``, naming the file, when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY
        )
    except OSError as error:
        raise OSError(error.errno, f"could not write: {error.strerror}", str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write: {error.strerror}", str(path)) from error


def prepare(folder: Path) -> None:
    """Make the folder, see that a file can be written there, and clear what was left half written.

    Raises ``OSError``, naming the folder, when nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for litter in folder.glob(f".*{TEMPORARY}"):
            if time.time() - litter.stat().st_mtime > LITTER_SECONDS:
                litter.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))  # a file of no bytes fits on a full disk
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            error.errno, f"could not write into the folder: {error.strerror}", str(folder)
        ) from error
