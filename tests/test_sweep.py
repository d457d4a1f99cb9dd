"""A sweep loses nothing that was finished, and repeats nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from random import Random

import pytest
import torch
from stand_in import SOURCE, Asked, alive, wait_until

from payattention import sweep
from payattention.sweep import Sweep, SweepError

ALL = ["2.0", "2.1", "3.0", "3.1", "5.0", "5.1"]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    asked = Asked(tmp_path)
    yield asked
    asked.forget()


def whole(asked, identity="code"):
    square = asked.question()
    return Sweep("asked.square", square.FULL, square.points(square.FULL), identity)


def areas(outcomes):
    return [[record["area"] for record in outcome.records] for outcome in outcomes]


def test_outcomes_come_in_the_order_of_the_points(asked):
    outcomes = sweep.run(whole(asked), folder=asked.cache)
    assert areas(outcomes) == [[4, 4], [4, 4], [9, 9], [9, 9], [25, 25], [25, 25]]
    assert outcomes[3].records[1] == {"size": 3, "seed": 1, "area": 9, "step": 1}
    assert all(outcome.seconds > 0 for outcome in outcomes)
    assert asked.calls() == ALL


def test_nothing_is_run_twice(asked):
    first = sweep.run(whole(asked), folder=asked.cache)
    asked.calls()
    assert sweep.run(whole(asked), folder=asked.cache) == first
    assert asked.calls() == []


def test_killed_sweep_goes_on_where_it_was(asked):
    mark = asked.set("interrupted_3")
    with pytest.raises(KeyboardInterrupt):
        sweep.run(whole(asked), folder=asked.cache)
    assert asked.calls() == ["2.0", "2.1", "3.0"]
    mark.unlink()
    assert len(sweep.run(whole(asked), folder=asked.cache)) == 6
    assert asked.calls() == ALL[2:]


def test_failing_point_does_not_stop_the_others(asked):
    mark = asked.set("broken_3")
    with pytest.raises(SweepError, match=r"(?s)2 of 6 points.*'size': 3.*no square of 3"):
        sweep.run(whole(asked), folder=asked.cache)
    assert asked.calls() == ALL
    kept = [json.loads(path.read_text()) for path in asked.cache.iterdir()]
    assert sum("Traceback" in (outcome["error"] or "") for outcome in kept) == 2
    mark.unlink()
    sweep.run(whole(asked), folder=asked.cache)
    assert asked.calls() == ["3.0", "3.1"]  # what failed is tried again, and only that


def test_number_that_is_not_finite_fails_its_point(asked):
    asked.set("diverged_5")
    with pytest.raises(SweepError, match=r"(?s)2 of 6 points.*'area' is nan"):
        sweep.run(whole(asked), folder=asked.cache)


def test_other_code_or_configuration_is_measured_anew(asked):
    sweep.run(whole(asked), folder=asked.cache)
    asked.calls()
    sweep.run(whole(asked, identity="other code"), folder=asked.cache)
    assert asked.calls() == ALL
    square = asked.question()
    config = square.Config(sizes=(2,), device="mps")
    sweep.run(Sweep("asked.square", config, square.points(config), "code"), folder=asked.cache)
    assert asked.calls() == ALL[:2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"point": 1}', b"\xff\xfe"])
def test_file_that_cannot_be_used_is_measured_again(asked, content):
    first = sweep.run(whole(asked), folder=asked.cache)
    asked.calls()
    next(asked.cache.iterdir()).write_bytes(content)
    again = sweep.run(whole(asked), folder=asked.cache)
    assert [outcome.records for outcome in again] == [outcome.records for outcome in first]
    assert len(asked.calls()) == 1


def test_one_thread_computes_and_the_callers_number_comes_back(asked):
    source = (
        "import torch\n"
        "def measure(config, point):\n"
        "    return [{'threads': torch.get_num_threads()}]\n"
    )
    asked.question("threads", source)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        outcome = sweep.measure("asked.threads", None, {})
        assert outcome.records == [{"threads": 1}]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_several_processes_give_the_same_and_a_death_costs_its_own_points(asked):
    alone = sweep.run(whole(asked), folder=asked.cache / "alone")
    asked.calls()
    mark = asked.set("killed_3")
    asked.set("unlucky_5")
    with pytest.raises(SweepError, match=r"(?s)2 of 6 points.*'size': 3, 'seed': 0.*status 3"):
        sweep.run(whole(asked), folder=asked.cache, workers=2)
    done = asked.calls()
    assert sorted(done)[:6] == ["2.0", "2.1", "3.0", "3.0", "3.1", "3.1"]  # killed twice each
    assert {"5.0", "5.1"} <= set(done[4:])
    assert len(done) == 9  # one of size 5 died by bad luck, and came through the second time
    mark.unlink()
    rest = sweep.run(whole(asked), folder=asked.cache)
    assert [outcome.records for outcome in rest] == [outcome.records for outcome in alone]
    assert asked.calls() == ["3.0", "3.1"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_workers_end_with_a_parent_that_is_killed(asked):
    asked.question()
    asked.set("slow_3")
    program = (
        "from pathlib import Path\n"
        "from asked import square\n"
        "from payattention import sweep\n"
        "if __name__ == '__main__':\n"
        "    points = square.points(square.FULL)\n"
        "    whole = sweep.Sweep('asked.square', square.FULL, points, 'code')\n"
        f"    sweep.run(whole, folder=Path({str(asked.cache)!r}), workers=2)\n"
    )
    script = asked.folder.parent / "start.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_until(lambda: len(asked.workers()) == 2)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(map(alive, asked.workers())))
    assert len(list(asked.cache.iterdir())) == 2  # the points of size 2 were finished, and are kept


KILLED = '''
"""Runs that take a moment and give much, so that many are killed while they are written."""

import hashlib
import time
from pathlib import Path

FOLDER = Path(__file__).parent
POINTS = [{"size": size, "seed": 0} for size in range(int((FOLDER / "points").read_text()))]


def measure(config, point):
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{point['size']}.0 ")
    time.sleep(0.05)
    digits = [hashlib.sha256(f"{point}{row}".encode()).hexdigest() * 80 for row in range(50)]
    return [{"row": row, "digits": digit} for row, digit in enumerate(digits)]


def sweep_of_all():
    from payattention import sweep

    return sweep.Sweep("asked.killed", None, POINTS, "code")


if __name__ == "__main__":
    from asked import killed
    from payattention import sweep

    sweep.run(killed.sweep_of_all(), folder=FOLDER / "kept", workers=2)
'''


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL for a group")
def test_killed_with_all_its_workers_at_any_moment(asked):
    """No finished run is lost, none is repeated, no file is torn.

    PAYATTENTION_KILLS says how often it is killed, at a random moment: twice, or more where
    there is time. Half as often again it is killed when a file appears.
    """
    kills = int(os.environ.get("PAYATTENTION_KILLS", "2"))
    (asked.folder / "points").write_text(str(30 * kills))
    killed = asked.question("killed", KILLED)
    whole = killed.sweep_of_all()
    names = {whole.key(point): f"{point['size']}.0" for point in whole.points}
    alone = {made.point["size"]: made.records for made in sweep.run(whole, folder=asked.cache)}
    asked.calls()
    folder = asked.folder / "kept"
    folder.mkdir()

    kept, cut_short = {}, 0
    for kill in range(kills + kills // 2):
        cut_short += kill_one(folder, in_start=kill % 6 == 3, at_file=kill % 3 == 2)
        again = asked.calls()
        assert not {names[name] for name in kept} & set(again)  # none is repeated
        found = {path.stem: path.read_bytes() for path in folder.glob("*.json")}
        assert kept.items() <= found.items()  # none is lost
        kept = found
        for content in kept.values():  # none is torn
            outcome = json.loads(content)
            assert outcome["records"] == alone[outcome["point"]["size"]]
    assert kept
    assert cut_short >= kills  # or it was no test

    outcomes = sweep.run(whole, folder=folder, workers=2)
    assert {outcome.point["size"]: outcome.records for outcome in outcomes} == alone
    assert set(asked.calls()) == set(names.values()) - {names[name] for name in kept}


def kill_one(folder, *, in_start, at_file):
    """Whether a sweep, started in a process of its own, was still running when it was killed."""
    before = set(os.listdir(folder))  # noqa: PTH208, for it is the fastest
    with subprocess.Popen(
        [sys.executable, "-m", "asked.killed"],
        cwd=folder.parents[1],
        start_new_session=True,
    ) as parent:
        while not in_start and set(os.listdir(folder)) <= before:  # noqa: PTH208
            if parent.poll() is not None:
                break
        if not at_file:
            time.sleep(Random().uniform(0, 0.5))
        running = parent.poll() is None
        os.killpg(parent.pid, signal.SIGKILL)
    return running


def test_progress_counts_what_was_kept(asked, capsys):
    sweep.run(whole(asked), folder=asked.cache, shown=True)
    assert "6/6" in capsys.readouterr().err
    sweep.run(whole(asked), folder=asked.cache, shown=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_full_disk_stops_the_sweep_and_keeps_what_finished(asked, monkeypatch, workers):
    sweep.run(whole(asked), folder=asked.cache)
    for path in list(asked.cache.iterdir())[2:]:
        path.unlink()
    kept = {path: path.read_bytes() for path in asked.cache.iterdir()}
    asked.calls()
    room = iter([None, None])  # for the folder's test and one point

    def fill(file):
        if next(room, "none") == "none":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fill)
        with pytest.raises(OSError, match=r"No space left.*3 of 6 points are kept.*kept'$") as told:
            sweep.run(whole(asked), folder=asked.cache, workers=workers)
    assert told.value.errno == 28
    assert told.value.filename == str(asked.cache)
    assert len(asked.calls()) <= 2 * workers  # nobody works on in vain
    assert len(list(asked.cache.iterdir())) == 3  # and there is no litter
    assert kept.items() <= {path: path.read_bytes() for path in asked.cache.iterdir()}.items()
    sweep.run(whole(asked), folder=asked.cache)
    assert len(asked.calls()) == 3


def test_folder_that_cannot_be_written_stops_before_anything_is_measured(asked, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    (asked.folder.parent / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"could not write into the folder: .*file/kept'"):
        sweep.run(whole(asked), folder=asked.folder.parent / "file" / "kept")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(OSError, match=r"the folder: Permission denied: .*kept'"):
            sweep.run(whole(asked), folder=asked.cache)
    assert asked.calls() == []
    sweep.run(whole(asked), folder=asked.cache)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    sweep.run(whole(asked), folder=asked.cache)  # to read is enough where nothing is missing


def test_other_code_in_a_worker_is_an_error_and_no_record(asked):
    square = asked.question()
    point = {"size": 2, "seed": 0}
    code = sweep.code("asked.square")
    sweep._code_here.cache_clear()
    right = sweep._measure_elsewhere(code, "asked.square", square.FULL, point)
    assert areas([right]) == [[4, 4]]
    asked.calls()
    asked.question(source=SOURCE.replace("size * size", "size ** 3"))
    edited = sweep.code("asked.square")
    assert edited != code
    wrong = sweep._measure_elsewhere(edited, "asked.square", square.FULL, point)
    assert f"code: got '{code}' in a worker" in wrong.error  # which had imported the old one
    assert f"expected '{edited}'" in wrong.error
    assert wrong.records == []
    assert asked.calls() == []


def test_bad_input_is_named(asked):
    with pytest.raises(ValueError, match="workers: got 0"):
        sweep.run(whole(asked), folder=asked.cache, workers=0)
    with pytest.raises(ValueError, match="engine: got 'cloud'; expected one of"):
        sweep.run(whole(asked), folder=asked.cache, engine="cloud")
    twice = Sweep("asked.square", None, [{"size": 2}, {"size": 2}], "code")
    with pytest.raises(ValueError, match="points: got the same point twice"):
        sweep.run(twice, folder=asked.cache)
