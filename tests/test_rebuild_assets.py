"""MiniLM's stored maps are made again from its weights, and compared to the last place."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest

from payattention import attention_maps, data, minilm

TOOL = Path(__file__).parents[1] / "tools" / "rebuild_assets.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("rebuild_assets", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ({"a": np.array([7, 9], np.uint16), "b": np.array("x")}, True),
        ({"a": np.array([8, 8], np.uint16), "b": np.array("x")}, True),
        ({"a": np.array([7, 11], np.uint16), "b": np.array("x")}, False),
        ({"a": np.array([7, 9], np.uint16), "b": np.array("y")}, False),
        ({"a": np.array([7], np.uint16), "b": np.array("x")}, False),
        ({"a": np.array([7, 9], np.uint16)}, False),
        ({"a": np.array([7, 9], np.uint16), "b": np.array("x"), "c": np.array(1)}, False),
    ],
)
def test_archives_may_differ_by_a_step_of_their_numbers_and_by_nothing_else(tool, other, alike):
    one = archive(a=np.array([7, 9], np.uint16), b=np.array("x"))
    assert tool.a_step_apart(one, archive(**other)) is alike


def test_stored_maps_come_out_again(tool, monkeypatch):
    monkeypatch.setattr(minilm, "BESIDE", minilm.BESIDE)  # which the tool moves
    made = tool.minilm_maps(minilm.folder().parents[1])
    sentences = [one.sentence for one in attention_maps.unpack(made)]
    assert sentences == [one.sentence for one in data.attention_maps()]
    assert tool.verdict("minilm_maps.npz", made) in ("byte-identical", "same content")
