"""A file that is replaced is the old one or the new one, whatever happens."""

import errno
import os
import time

import pytest

from payattention import files


def test_content_replaces_what_was_there(tmp_path):
    path = tmp_path / "new" / "folder" / "file.json"
    files.replace(path, b"one")
    files.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step):
    path = tmp_path / "file.json"
    files.replace(path, b"old")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(OSError, match=r"could not write: No space left.*file\.json") as caught:
        files.replace(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(OSError, match=r"could not write.*inside"):
        files.replace(tmp_path / "file" / "inside", b"new")


def test_folder_is_prepared_and_only_old_litter_goes(tmp_path):
    folder = tmp_path / "new" / "folder"
    files.prepare(folder)
    assert list(folder.iterdir()) == []
    kept = [folder / "file.json", folder / ".hidden", folder / ".file.json.abc.part"]
    litter = folder / ".file.json.xyz.part"
    for path in (*kept, litter):
        path.write_bytes(b"content")
    for path in (*kept[:2], litter):
        os.utime(path, (0, time.time() - 2 * files.LITTER_SECONDS))
    files.prepare(folder)
    assert sorted(folder.iterdir()) == sorted(kept)


def test_what_a_killed_process_leaves_is_litter(tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            files.replace(tmp_path / "file.json", b"content")
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(files, "LITTER_SECONDS", -1)
    files.prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_full_is_found_out(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"could not write into the folder: No space left") as told:
        files.prepare(tmp_path)
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
