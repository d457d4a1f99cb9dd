"""A figure that a reader can play with, in a notebook and on a static page.

One class is two things. Where a kernel runs it is an ordinary anywidget. On a
page without one, the HTML that it shows carries its state as JSON and a still
picture; a small loader finds the figure, builds a ``StaticModel`` from the JSON
and calls the same ``render`` that Jupyter calls. With JavaScript off, and in
print, the picture, the findings and the data remain.
"""

import csv
import html
import io
import json
import sys
from collections.abc import Sequence
from urllib.parse import quote

import anywidget
import traitlets

from payattention.explorables import bundle


class Explorable(anywidget.AnyWidget):
    """The figure ``name.mjs``, its state, its still picture and its findings.

    A subclass sets ``name`` and says what is seen: ``picture``, ``findings``,
    ``data``, and perhaps ``examples``. ``title`` and ``alt`` say in words what
    the figure shows.
    """

    name = ""
    title = traitlets.Unicode("").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    table = traitlets.Unicode("").tag(sync=True)

    def __init_subclass__(cls, **kwargs):
        # traitlets derives classes of its own from a widget's; those keep what they have
        if "name" in cls.__dict__:
            cls._esm = bundle.esm(cls.name)
            cls._css = bundle.stylesheet()
        super().__init_subclass__(**kwargs)

    def __init__(self, **state):
        super().__init__(**state)
        self.table = csv_text(self.data())

    def picture(self) -> str:
        """The figure as a still SVG."""
        raise NotImplementedError

    def findings(self) -> list[str]:
        """What a reader finds who moves everything, one sentence each."""
        raise NotImplementedError

    def data(self) -> list[dict]:
        """The numbers that the figure draws, one record a row."""
        raise NotImplementedError

    def examples(self) -> str:
        """HTML of what else is seen where no script runs, between picture and findings."""
        return ""

    def static_state(self) -> dict:
        """The public state, as the static page's model holds it."""
        own = set(self.trait_names(sync=True)) - set(anywidget.AnyWidget.class_trait_names())
        return {key: getattr(self, key) for key in sorted(own) if not key.startswith("_")}

    def fallback(self) -> str:
        """HTML of the figure for a page with no kernel: state, picture, findings, data."""
        state = json.dumps(self.static_state(), allow_nan=False)
        # escaped, so that no text in the state can close the element that holds it
        state = state.replace("<", "\\u003c").replace("&", "\\u0026")
        findings = "".join(f"<li>{html.escape(finding)}</li>" for finding in self.findings())
        return (
            f'<figure class="explorable" data-explorable="{self.name}">\n'
            f'<script type="application/json">{state}</script>\n'
            f'<div class="explorable-fallback">\n'
            f'<p class="explorable-title">{html.escape(self.title)}</p>\n'
            f"{self.picture()}\n{self.examples()}\n"
            f'<ul class="explorable-findings">{findings}</ul>\n'
            f'<p class="explorable-data"><a download="{self.name}.csv" '
            f'href="{data_url(self.table)}">The figure’s data (CSV)</a></p>\n'
            f"</div>\n</figure>"
        )

    def _repr_mimebundle_(self, **kwargs):
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        if "google.colab" not in sys.modules:  # there is always a kernel, and HTML might win
            data = {**data, "text/html": self.fallback()}
        return data, metadata


def csv_text(records: Sequence[dict]) -> str:
    """Records as CSV text, the first record's keys as header.

    >>> csv_text([{"gap": 1, "left": 0.5}])
    'gap,left\\n1,0.5\\n'
    """
    if not records:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def data_url(text: str) -> str:
    """An address that holds the CSV text itself, so that it opens offline."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.-_")
