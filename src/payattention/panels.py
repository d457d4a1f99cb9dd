"""A panel that runs an experiment again, live, with the reader's own parameters.

The run goes on in a background thread, so that the notebook stays responsive; a bar shows how
far it is, a button stops it, and an error is shown where the result would have been. On a page
without a kernel a sentence and the stored picture take its place: never a control that is dead.
Built on what ipywidgets 7.7.1 and 8 share, since Colab has the former.
"""

import base64
import html
import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from payattention import plots

Records = list[dict]
Run = Callable[..., Records]

ELSEWHERE = (
    "In the notebook of this chapter a panel stands here that runs the experiment again "
    "with parameters of your own."
)
# Drawing takes time from the run: it waits so long, and so many times as long as drawing took.
REDRAW_SECONDS, REDRAW_SHARE = 0.5, 5


class Panel:
    """Controls, a run button, a stop button, a progress bar and a picture of what came out.

    ``run(parameters, *, on_step, stop)`` returns records. It calls ``on_step(share, records)``
    now and then, with the share that is done (0 to 1) and the records so far, and returns early
    once ``stop()`` is true. ``controls`` maps each parameter to a widget with a ``value``, or to
    a list of choices. ``plot(records, axis)`` draws. ``stored`` are the records that the picture
    shows before the first run, and on a page without a kernel; ``still`` is said there.
    """

    def __init__(
        self,
        run: Run,
        controls: Mapping[str, Any],
        plot: Callable[[Records, Axes], Axes],
        *,
        stored: Sequence[dict] = (),
        still: str = ELSEWHERE,
    ) -> None:
        self.records: Records = list(stored)
        self.error: Exception | None = None
        self.still = still
        self._run, self._plot = run, plot
        self._controls = {name: _control(name, value) for name, value in controls.items()}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._build()
        self._show_picture()

    def _build(self) -> None:
        self.run_button = ipywidgets.Button(description="Run", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop", disabled=True)
        self.run_button.on_click(lambda _: self.start())
        self.stop_button.on_click(lambda _: self.stop())
        self.progress = ipywidgets.FloatProgress(min=0.0, max=1.0, value=0.0, description="Done")
        self.status = ipywidgets.HTML("Ready.")
        self.picture = ipywidgets.HTML("")
        buttons = ipywidgets.HBox([self.run_button, self.stop_button, self.progress])
        controls = ipywidgets.VBox(list(self._controls.values()))
        self.widget = ipywidgets.VBox([controls, buttons, self.status, self.picture])

    @property
    def parameters(self) -> dict[str, Any]:
        """What the controls say now, by parameter."""
        return {name: control.value for name, control in self._controls.items()}

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start a run with the parameters as they are now.

        Raises RuntimeError while one is under way.
        """
        if self.running:
            raise RuntimeError("a run is under way; stop it, or wait for its end")
        self._stopping.clear()
        self.error = None
        self.progress.value = 0.0
        self.progress.bar_style = ""
        self._busy(True)
        self.status.value = "Running …"
        self._thread = threading.Thread(target=self._work, args=(self.parameters,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the run to end; it does at its next step."""
        if self.running:
            self._stopping.set()
            self.status.value = "Stopping …"

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the run to end, at most so long; True when none is under way any more."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running

    def _work(self, parameters: dict[str, Any]) -> None:
        try:
            on_step = _Reporter(self._show_step)
            self.records = list(self._run(parameters, on_step=on_step, stop=self._stopping.is_set))
            self._show_picture()
            self._finish()
        except Exception as error:  # of the run, of the plot: shown, whatever it is
            self.error = error
            self.progress.bar_style = "danger"
            self.status.value = _error_html(error)
        finally:
            self._busy(False)

    def _finish(self) -> None:
        count = f"{len(self.records):,} record{'' if len(self.records) == 1 else 's'}"
        if self._stopping.is_set():
            self.progress.bar_style = "warning"
            self.status.value = f"Stopped early, with {count}."
        else:
            self.progress.value = 1.0
            self.progress.bar_style = "success"
            self.status.value = f"Done: {count}."

    def _busy(self, busy: bool) -> None:
        self.run_button.disabled = busy
        self.stop_button.disabled = not busy
        for control in self._controls.values():
            control.disabled = busy

    def _show_step(self, share: float, records: Records, *, redraw: bool) -> None:
        self.progress.value = share
        if redraw and records:
            self.records = list(records)
            self._show_picture()

    def _show_picture(self) -> None:
        if self.records:
            self.picture.value = picture_html(self.records, self._plot)

    def fallback(self) -> str:
        """HTML for a page without a kernel: the stored picture and a sentence."""
        return (
            f'<div class="panel-still">{self.picture.value}<p>{html.escape(self.still)}</p></div>'
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "text/plain": f"Panel({', '.join(self._controls)})",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.model_id,
            },
        }
        if "google.colab" not in sys.modules:  # there is always a kernel, and HTML might win
            shown["text/html"] = self.fallback()
        return shown


class _Reporter:
    """What ``run`` calls at each step: checks what it says, and passes on when to draw again."""

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show
        self._next = time.monotonic() + REDRAW_SECONDS

    def __call__(self, share: float, records: Records) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"on_step: expected a share done of 0 to 1, got {share!r}")
        start = time.monotonic()
        redraw = start >= self._next
        self._show(share, records, redraw=redraw)
        if redraw:
            end = time.monotonic()
            self._next = end + max(REDRAW_SECONDS, REDRAW_SHARE * (end - start))


def picture_html(records: Records, plot: Callable[[Records, Axes], Axes]) -> str:
    """The plot as an HTML image that needs no file; the plot's title is its alternative text."""
    # a figure of its own, not pyplot's: this runs in a thread
    with matplotlib.rc_context({**plots.STYLE, "svg.fonttype": "path"}):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axis = figure.subplots()
        plot(records, axis)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    title = next(
        filter(None, map(axis.get_title, ("left", "center", "right"))), "What was measured"
    )
    address = base64.b64encode(drawn.getvalue().encode()).decode()
    alt = html.escape(" ".join(title.split()))
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{address}">'


def _control(name: str, value: Any) -> ipywidgets.Widget:
    label = name.replace("_", " ")
    if isinstance(value, ipywidgets.Widget) and hasattr(value, "value"):
        value.description = value.description or label
        control = value
    elif isinstance(value, (list, tuple)) and value:
        control = ipywidgets.Dropdown(options=list(value), value=value[0], description=label)
    else:
        raise TypeError(
            f"controls: {name} is {value!r}; expected a widget with a value, or a list of choices"
        )
    control.style.description_width = "initial"
    return control


def _error_html(error: Exception) -> str:
    told = html.escape("".join(traceback.format_exception(error)))
    summary = html.escape(f"{type(error).__name__}: {error}")
    return (
        f"<p>The run ended with an error: <strong>{summary}</strong></p>"
        f"<details><summary>Where it happened</summary><pre>{told}</pre></details>"
    )
