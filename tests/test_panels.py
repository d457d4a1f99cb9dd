"""Panels: run, progress, stop, error, and what stands there without a kernel."""

import base64
import re
import sys
import threading

import ipywidgets
import pytest

from payattention import panels
from payattention.panels import Panel

SECONDS = 20  # longer than any step here takes; a test that waits so long has failed


class Experiment:
    """A fake one that takes a step when the test says so."""

    def __init__(self, steps=3, error_at=None):
        self.steps, self.error_at = steps, error_at
        self.may_step = threading.Semaphore(0)
        self.has_stepped = threading.Semaphore(0)
        self.seen = None

    def __call__(self, parameters, *, on_step, stop):
        self.seen, records = parameters, []
        for step in range(self.steps):
            assert self.may_step.acquire(timeout=SECONDS)
            if stop():
                break
            if step == self.error_at:
                raise ArithmeticError("the loss <is> not a number")
            records.append({"step": step, "loss": parameters["rate"] / (1 + step)})
            on_step((step + 1) / self.steps, records)
            self.has_stepped.release()
        return records

    def step(self, times=1):
        for _ in range(times):
            self.may_step.release()

    def stepped(self, times=1):
        assert all(self.has_stepped.acquire(timeout=SECONDS) for _ in range(times))


def plot(records, axis):
    axis.plot([record["step"] for record in records], [record["loss"] for record in records])
    axis.set_title(f"After {len(records)} steps", loc="left")
    return axis


def panel(experiment, **options):
    controls = {"rate": ipywidgets.FloatSlider(value=0.5), "hidden_units": [8, 16]}
    return Panel(experiment, controls, plot, **options)


def test_runs_with_the_parameters_of_the_controls():
    experiment = Experiment()
    live = panel(experiment)
    live._controls["rate"].value = 0.25
    live._controls["hidden_units"].value = 16
    experiment.step(3)
    live.run_button.click()
    assert live.wait(SECONDS)
    assert experiment.seen == {"rate": 0.25, "hidden_units": 16}
    assert live.records[0] == {"step": 0, "loss": 0.25}
    assert live.status.value == "Done: 3 records."
    assert live.progress.value == 1 and live.progress.bar_style == "success"
    assert 'alt="After 3 steps"' in live.picture.value
    assert (live.run_button.disabled, live.stop_button.disabled) == (False, True)


def test_shows_how_far_it_is_and_locks_its_controls():
    experiment = Experiment(steps=4)
    live = panel(experiment)
    live.start()
    assert live.running and live.run_button.disabled and not live.stop_button.disabled
    assert live._controls["rate"].disabled
    experiment.step()
    experiment.stepped()
    assert live.progress.value == 0.25
    experiment.step(3)
    assert live.wait(SECONDS)
    assert not live._controls["rate"].disabled


def test_draws_while_it_runs(monkeypatch):
    monkeypatch.setattr(panels, "REDRAW_SECONDS", 0)
    monkeypatch.setattr(panels, "REDRAW_SHARE", 0)
    experiment = Experiment()
    live = panel(experiment)
    live.start()
    experiment.step(2)
    experiment.stepped(2)
    assert 'alt="After 2 steps"' in live.picture.value
    assert not live.wait(0)
    experiment.step()
    assert live.wait(SECONDS)


def test_does_not_draw_at_every_step():
    experiment = Experiment()
    live = panel(experiment)
    live.start()
    experiment.step()
    experiment.stepped()
    assert live.picture.value == ""
    experiment.step(2)
    assert live.wait(SECONDS)


def test_drawing_takes_a_small_share_of_the_time(monkeypatch):
    clock = iter([0.0, 0.4, 0.5, 2.5, 12.4, 12.5, 13.0, 15.0])
    monkeypatch.setattr(panels.time, "monotonic", lambda: next(clock))
    drawn = []
    report = panels._Reporter(lambda share, records, *, redraw: drawn.append(redraw))
    # asked at 0.4 s; at 0.5 s, which takes 2 s, so not before 12.5 s; at 12.4 s; at 12.5 s
    for _ in range(4):
        report(0.5, [])
    assert drawn == [False, True, False, True]


def test_stops_early_and_keeps_what_there_is():
    experiment = Experiment()
    live = panel(experiment)
    live.start()
    experiment.step()
    experiment.stepped()
    live.stop_button.click()
    assert live.status.value == "Stopping …"
    experiment.step()
    assert live.wait(SECONDS)
    assert live.status.value == "Stopped early, with 1 record."
    assert len(live.records) == 1
    assert live.progress.value == pytest.approx(1 / 3) and live.progress.bar_style == "warning"


def test_runs_again_after_a_stop():
    experiment = Experiment(steps=1)
    live = panel(experiment)
    live.start()
    live.stop()
    experiment.step()
    assert live.wait(SECONDS) and live.records == []
    experiment.step()
    live.start()
    assert live.wait(SECONDS)
    assert live.status.value == "Done: 1 record."


def test_refuses_a_second_run_while_one_is_under_way():
    experiment = Experiment(steps=1)
    live = panel(experiment)
    live.start()
    with pytest.raises(RuntimeError, match="a run is under way; stop it"):
        live.start()
    experiment.step()
    assert live.wait(SECONDS)


def test_shows_an_error_and_recovers():
    experiment = Experiment(error_at=1)
    live = panel(experiment)
    experiment.step(2)
    live.start()
    assert live.wait(SECONDS)
    assert isinstance(live.error, ArithmeticError)
    assert "ArithmeticError: the loss &lt;is&gt; not a number" in live.status.value
    assert "Traceback" in live.status.value and live.progress.bar_style == "danger"
    assert not live.run_button.disabled
    experiment.error_at = None
    experiment.step(3)
    live.start()
    assert live.wait(SECONDS)
    assert live.error is None and live.status.value == "Done: 3 records."


def test_an_error_of_the_plot_is_shown():
    def broken(records, axis):
        raise KeyError("loss")

    live = Panel(lambda parameters, *, on_step, stop: [{"step": 1}], {}, broken)
    live.start()
    assert live.wait(SECONDS)
    assert "KeyError" in live.status.value


def test_a_share_beyond_one_is_an_error():
    def run(parameters, *, on_step, stop):
        on_step(3, [])

    live = Panel(run, {}, plot)
    live.start()
    assert live.wait(SECONDS)
    assert "expected a share done of 0 to 1, got 3" in live.status.value


def test_without_a_kernel_there_is_a_picture_and_no_control():
    live = panel(Experiment(), stored=[{"step": 0, "loss": 1.0}], still="Run it <yourself>.")
    shown = live._repr_mimebundle_()
    model = shown["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert model == live.widget.model_id
    assert "Run it &lt;yourself&gt;." in shown["text/html"]
    assert not re.search("<(button|input|select)", shown["text/html"])
    picture = re.search(
        r'alt="After 1 steps" src="data:image/svg\+xml;base64,([^"]+)"', shown["text/html"]
    )
    assert b"<svg" in base64.b64decode(picture[1])


def test_without_stored_records_there_is_a_sentence():
    assert panels.ELSEWHERE in panel(Experiment()).fallback()
    assert "<img" not in panel(Experiment()).fallback()


def test_colab_gets_the_widget_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert "text/html" not in panel(Experiment())._repr_mimebundle_(include=None)


def test_before_the_first_run_there_is_nothing_to_stop_or_wait_for():
    live = panel(Experiment())
    live.stop()
    assert live.wait(0) and live.status.value == "Ready."


def test_controls_are_named():
    live = panel(Experiment())
    assert [control.description for control in live._controls.values()] == ["rate", "hidden units"]


@pytest.mark.parametrize("control", [0.5, [], "rate"])
def test_a_control_that_cannot_be_one_is_refused(control):
    with pytest.raises(TypeError, match=f"rate is {re.escape(repr(control))}; expected a widget"):
        Panel(print, {"rate": control}, plot)
