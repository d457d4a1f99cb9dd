"""Stored results come back as they were written, or not at all."""

import json
import runpy
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from stand_in import SOURCE, Asked

from payattention import results, sources
from payattention.records import Results
from payattention.sweep import SweepError

AREAS = [4, 4, 4, 4, 9, 9, 9, 9, 25, 25, 25, 25]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "EXPERIMENTS", "asked")
    asked = Asked(tmp_path)
    asked.store.mkdir()
    yield asked
    asked.forget()


@pytest.fixture
def written(asked):
    square = asked.question()
    results.write(results.collect(square, square.FULL, folder=asked.cache), store=asked.store)
    asked.calls()
    return asked


class TestFiles:
    def test_what_is_written_is_read(self, tmp_path):
        records = [{"cell": "gru", "gap": 4, "recall": 0.25}, {"cell": "rnn", "recall": None}]
        about = {"config": {"width": 5}, "environment": {"device": "cpu"}}
        before = Results.from_records("recall", records, **about)
        path = results.write(before, store=tmp_path)
        assert path == tmp_path / "recall.json"
        assert results.read("recall", store=tmp_path) == before

    def test_one_column_a_line(self, tmp_path):
        path = results.write(Results("q", {"a": [1, 2], "b": ["x", None]}), store=tmp_path)
        assert '\n  "a": [1, 2],\n  "b": ["x", null]\n' in path.read_text()

    @given(some.floats(width=32, allow_nan=False, allow_infinity=False))
    def test_nine_digits_tell_any_float32_apart(self, number):
        kept = results._shortened(number)
        assert torch.tensor(kept, dtype=torch.float32).item() == number

    def test_number_that_is_not_finite_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="its 'loss' is nan"):
            results.write(Results("q", {"loss": [1.0, float("nan")]}), store=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_large_file_is_refused_and_the_old_one_stays(self, tmp_path):
        results.write(Results("q", {"a": [1]}), store=tmp_path)
        with pytest.raises(
            ValueError, match=r"'q' takes 3\d\d,\d{3} bytes; expected at most 300,0"
        ):
            results.write(Results("q", {"a": list(range(50_000))}), store=tmp_path)
        assert results.read("q", store=tmp_path).columns == {"a": [1]}

    def test_store_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(OSError, match=r"could not write.*q\.json"):
            results.write(Results("q", {"a": [1]}), store=tmp_path / "file")

    def test_unknown_question_is_named_with_those_that_are_there(self, tmp_path):
        results.write(Results("known", {"a": [1]}), store=tmp_path)
        with pytest.raises(ValueError, match=r"question: got 'unknown'; expected one of \['known'"):
            results.read("unknown", store=tmp_path)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            '{"question": "q"}',
            '{"question": "q", "columns": 3}',
            '{"question": "q", "columns": {}, "more": 1}',
            '{"question": "q", "columns": {"a": [1], "b": [1, 2]}}',
            '{"question": "other", "columns": {"a": [1]}}',
        ],
    )
    def test_foreign_file_is_named(self, tmp_path, content):
        (tmp_path / "q.json").write_text(content)
        with pytest.raises(ValueError, match=r"q\.json (does not hold|is damaged)"):
            results.read("q", store=tmp_path)


class TestCollect:
    def test_results_tell_where_they_come_from(self, asked):
        square = asked.question()
        found = results.collect(square, square.FULL, folder=asked.cache)
        assert found.question == "square"
        assert found.column("area").tolist() == AREAS
        assert found.config == {"sizes": [2, 3, 5], "seeds": 2, "device": "cpu"}
        environment = found.environment
        assert environment["torch"] == torch.__version__
        assert environment["modules"] == sources.modules_hash("asked.square", "measure")
        assert environment["device"] == "cpu"
        assert environment["threads"] == 1
        assert environment["cpu"]
        assert environment["seconds"] >= 0

    def test_edited_code_is_measured_again_and_reworded_code_is_not(self, asked):
        for source, calls in [
            (SOURCE, 6),
            (SOURCE, 0),
            (SOURCE.replace('"""How large', '"""How very large'), 0),
            (SOURCE.replace('{"largest":', '{"largest_area":'), 0),
            (SOURCE.replace("size * size", "size ** 2"), 6),
        ]:
            square = asked.question(source=source)
            results.collect(square, square.FULL, folder=asked.cache)
            assert len(asked.calls()) == calls

    def test_clocks_have_the_machine_for_themselves(self, asked, monkeypatch):
        given = []

        def run(runs, *, folder, workers, engine, shown):
            given.append((workers, engine))
            return []

        monkeypatch.setattr(results.sweep, "run", run)
        processors = []
        for source in (SOURCE, SOURCE + "\nALONE = True\n"):
            square = asked.question(source=source)
            found = results.collect(square, square.FULL, workers=2, engine="ray")
            processors.append(found.environment["cpu"])
        assert given == [(2, "ray"), (1, "local")]
        assert processors == ["of a Ray cluster", results.processor()]

    def test_processor_has_a_name_on_other_systems_too(self, monkeypatch):
        def absent(*arguments, **options):
            raise OSError

        monkeypatch.setattr("pathlib.Path.read_text", absent)
        monkeypatch.setattr("platform.processor", lambda: "")
        monkeypatch.setattr("platform.machine", lambda: "a machine")
        assert results.processor() == "a machine"


@pytest.mark.parametrize(("switch", "areas"), [(None, AREAS[:4]), ("0", AREAS[:4]), ("1", AREAS)])
def test_live_run_is_small_unless_the_switch_is_on(asked, monkeypatch, switch, areas):
    monkeypatch.delenv("PAYATTENTION_FULL", raising=False)
    if switch is not None:
        monkeypatch.setenv("PAYATTENTION_FULL", switch)
    found = results.live(asked.question())
    assert found.question == "square"
    assert found.column("area").tolist() == areas
    assert len(found.config["sizes"]) == len(areas) / 4


class TestRecompute:
    def test_cheapest_point_is_measured_again(self, written):
        stored, fresh = results.recompute("square", store=written.store)
        assert stored == fresh
        assert [record["area"] for record in fresh] == [4, 4]
        assert written.calls() == ["2.0"]

    def test_other_code_shows(self, written):
        written.question(source=SOURCE.replace("size * size", "size + size + 1"))
        stored, fresh = results.recompute("square", store=written.store)
        assert [record["area"] for record in stored] == [4, 4]
        assert [record["area"] for record in fresh] == [5, 5]

    def test_other_configuration_is_refused(self, written):
        written.question(source=SOURCE.replace("seeds: int = 2", "seeds: int = 3"))
        with pytest.raises(ValueError, match=r"'square' is of .*'seeds': 2.*make results Q=square"):
            results.recompute("square", store=written.store)

    def test_failure_shows(self, written):
        written.set("broken_2")
        with pytest.raises(SweepError, match=r"(?s)cheapest point of square.*no square of 2"):
            results.recompute("square", store=written.store)


class TestCommands:
    def test_full_stores_and_tells_the_findings(self, asked, capsys):
        results.main(asked.question(), ["--full", "--workers", "1"], store=asked.store)
        assert results.read("square", store=asked.store).column("area").tolist() == AREAS
        told = capsys.readouterr().out
        assert "square: 12 records" in told
        assert "square.largest: 25" in told

    @pytest.mark.parametrize(
        ("arguments", "given"),
        [
            ([], (5, "local")),
            (["--workers", "3"], (3, "local")),
            (["--engine", "ray"], (None, "ray")),
            (["--engine", "ray", "--workers", "3"], (3, "ray")),
        ],
    )
    def test_where_to_run_is_handed_on(self, asked, monkeypatch, arguments, given):
        handed = []

        def collect(experiment, config, *, workers, engine):
            handed.append((workers, engine))
            return Results("square", {"area": [4]}, {}, {"seconds": 1.0})

        monkeypatch.setattr(results, "collect", collect)
        monkeypatch.setattr("os.cpu_count", lambda: 5)
        results.main(asked.question(), arguments, store=asked.store)
        assert results.make(["square", *arguments], store=asked.store) == 0
        assert handed == [given, given]

    def test_store_that_cannot_be_written_stops_before_anything_is_measured(self, asked, capsys):
        asked.question()
        (asked.folder / "file").write_text("in the way")
        assert results.make(["--workers", "1"], store=asked.folder / "file") == 1
        assert "square: FAILED: FileExistsError" in capsys.readouterr().out
        assert asked.calls() == []

    def test_live_stores_nothing(self, asked, capsys):
        results.main(asked.question(), ["--live"], store=asked.store)
        assert results.stored(store=asked.store) == []
        assert capsys.readouterr().out == "square.largest: 4\n"
        assert asked.calls() == ["2.0", "2.1"]

    def test_module_run_by_itself_is_imported_under_its_name(self, asked, monkeypatch, capsys):
        asked.question()
        monkeypatch.setattr(sys, "argv", ["square.py", "--workers", "1"])
        sys.modules.pop("asked.square")
        before = sys.modules["__main__"]
        runpy.run_module("asked.square", run_name="__main__", alter_sys=True)
        assert sys.modules["__main__"] is before
        assert "square.largest: 25" in capsys.readouterr().out
        assert results.stored(store=asked.store) == ["square"]

    def test_all_questions_are_answered_in_turn_and_one_failure_stops_none(self, asked, capsys):
        (asked.folder / "first.py").write_text("raise RuntimeError('cannot be asked')")
        asked.question("square")
        asked.question("third", SOURCE.replace("size * size", "size"))
        assert results.questions() == ["first", "square", "third"]
        assert results.make(["--workers", "1"], store=asked.store) == 1
        told = capsys.readouterr().out
        assert "first: FAILED: RuntimeError: cannot be asked" in told
        assert results.stored(store=asked.store) == ["square", "third"]

    def test_questions_may_be_named(self, asked):
        asked.question("square")
        asked.question("third")
        assert results.make(["third", "--workers", "1"], store=asked.store) == 0
        assert results.stored(store=asked.store) == ["third"]

    def test_unknown_question_is_named(self, asked, capsys):
        asked.question("square")
        with pytest.raises(SystemExit):
            results.make(["circle"], store=asked.store)
        assert "there is no ['circle']; expected some of ['square']" in capsys.readouterr().err


def test_file_is_plain_json_with_the_four_parts(written):
    content = json.loads((written.store / "square.json").read_text())
    assert list(content) == ["question", "config", "environment", "columns"]
