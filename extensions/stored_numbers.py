"""The role ``number``: prose takes its numbers from stored results.

``{number}`recall_vs_gap.gru_half``` reads ``stored/recall_vs_gap.json``, asks
``payattention.experiments.recall_vs_gap.findings`` for its ready formatted strings,
and writes the one named ``gru_half``. A number typed by hand beside the code would
drift; this one cannot.
"""

import importlib
import re
from functools import cache
from importlib import resources
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from extensions import execution

RAISED = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
ORDINARY = str.maketrans(RAISED, "−0123456789")
logger = logging.getLogger(__name__)


@cache
def findings(question: str) -> dict[str, str]:
    """Name -> formatted number, for one experiment's stored results."""
    from payattention import results

    experiment = importlib.import_module(f"payattention.experiments.{question}")
    return experiment.findings(results.read(question))


def stored_file(question: str) -> Path:
    """Where an experiment's stored results lie."""
    return Path(str(resources.files("payattention"))) / "stored" / f"{question}.json"


def look_up(reference: str) -> str:
    """The formatted number that ``question.name`` refers to.

    Raises ``ValueError`` where the reference has no dot, and ``LookupError`` where the
    experiment, its stored results or the name is missing.
    """
    question, dot, name = reference.partition(".")
    if not dot:
        raise ValueError(f"number: {reference!r} is not of the form question.name")
    try:
        found = findings(question)
    except (ImportError, OSError) as error:
        raise LookupError(f"number: no stored results for {question!r} ({error})") from error
    if name not in found:
        raise LookupError(f"number: {question!r} finds no {name!r}, only {sorted(found)}")
    return found[name]


def raised(text: str) -> list[nodes.Node]:
    """The text with Unicode's raised digits as raised ordinary ones: fonts hold all of those."""
    parts = re.split(f"([{RAISED}]+)", text)
    return [
        nodes.superscript("", part.translate(ORDINARY)) if odd % 2 else nodes.Text(part)
        for odd, part in enumerate(parts)
        if part
    ]


class NumberRole(SphinxRole):
    """Write a stored number; a draft shows the name of one that is not there yet."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        question = self.text.partition(".")[0]
        try:
            text = look_up(self.text)
            self.env.note_dependency(str(stored_file(question)))
        except (ValueError, LookupError) as error:
            text = f"⟨{self.text}⟩"
            if not execution.is_draft(self.config):
                logger.warning("%s", error, location=self.get_location())
        return [nodes.inline(self.rawtext, "", *raised(text), classes=["stored-number"])], []


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", lambda app: findings.cache_clear())
    app.add_role("number", NumberRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
