"""Every claim that the book checks, from one file: ``chapters/claims.yml``.

``{claims-table}`` draws all of them, with what a reader can filter by; ``{claims}`` draws
those of one chapter, at its end; ``{claims-count}`` counts them in a sentence. A claim's
answer is written in the chapters' Markdown, so that its numbers come from stored results
and its sources are citations.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from extensions import assets, stored_numbers

logger = logging.getLogger(__name__)

FILE = Path("chapters/claims.yml")
ARTICLES = ("A new scaling law", "What is the Transformer?", "The GTC panel", "How big?")
"""Short names of the four articles, in the order of the claims' numbers."""
VERDICTS = ("true", "imprecise", "misleading", "false", "unverifiable")
SETTLED = ("source", "arithmetic", "measurement", "none")
TOPICS = (
    *("recurrence", "attention", "transformer", "quadratic_cost", "scaling_laws"),
    *("sparse_attention", "sparse_weights", "mixup", "adaptive_compute"),
)
NEEDED = {"id", "quote", "english", "verdict", "answer", "sources", "by"}
ALLOWED = NEEDED | {"unchecked", "topic", "results"}
NUMBER_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def faults(claim: dict) -> Iterator[str]:
    """What is wrong with one entry: the field, what came, and what was expected."""
    for name in sorted(NEEDED - claim.keys()):
        yield f"{name}: missing"
    for name in sorted(claim.keys() - ALLOWED):
        yield f"{name}: not a field of a claim; expected one of {', '.join(sorted(ALLOWED))}"
    choices = {"verdict": VERDICTS, "by": SETTLED, "topic": TOPICS}
    for name, words in choices.items():
        if name in claim and claim[name] not in words:
            yield f"{name}: got {claim[name]!r}; expected one of {', '.join(words)}"
    if not re.fullmatch(r"[0-3]\.\d\d", str(claim.get("id", "0.00"))):
        yield f"id: got {claim['id']!r}; expected article and number, as 0.06"
    for name in ("quote", "english", "answer"):
        if name in claim and not str(claim[name]).strip():
            yield f"{name}: empty"
    by = claim.get("by")
    if by == "source" and not claim.get("sources"):
        yield "sources: empty; expected at least one, as by is source"
    if by == "measurement" and not claim.get("results"):
        yield "results: empty; expected at least one, as by is measurement"
    if by == "none" and claim.get("verdict") != "unverifiable":
        yield "by: none is for claims that are unverifiable"
    for question in claim.get("results", []):
        if not stored_numbers.stored_file(question).exists():
            yield f"results: got {question!r}; expected the name of a stored result"


@cache
def read(path: Path) -> tuple[dict, ...]:
    """Every claim of the file, as it stands there.

    Raises ``ValueError`` that names each claim and field at fault.
    """
    claims = yaml.safe_load(path.read_text(encoding="utf8"))
    found = [f"claim {claim.get('id', '?')}: {f}" for claim in claims for f in faults(claim)]
    numbers = Counter(claim.get("id") for claim in claims)
    found += [f"claim {name}: stands there {n} times" for name, n in numbers.items() if n > 1]
    if found:
        raise ValueError(f"{path.name}: " + "; ".join(found))
    return tuple(claims)


class ClaimsDirective(SphinxDirective):
    """What both directives share: the file, and parsing an answer as part of the page."""

    def claims(self) -> list[dict]:
        path = Path(self.env.srcdir) / FILE
        self.env.note_dependency(str(path))
        try:
            return list(read(path))
        except ValueError as error:
            logger.warning("%s", error, location=self.get_location())
            return []

    def parsed(self, text: str) -> list[nodes.Node]:
        """Markdown as the nodes that it would make in the chapter."""
        box = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), str(FILE)), 0, box)
        return box.children

    def inline(self, text: str) -> list[nodes.Node]:
        """Markdown of one paragraph, without the paragraph."""
        parsed = self.parsed(text)
        return parsed[0].children if len(parsed) == 1 else parsed


class ChapterClaims(ClaimsDirective):
    """The claims of one chapter: what was said, the verdict, and what we saw."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        topic = self.arguments[0]
        mine = [claim for claim in self.claims() if claim.get("topic") == topic]
        if not mine:
            logger.warning("claims: none of topic %r", topic, location=self.get_location())
        table = nodes.definition_list(classes=["claims"])
        for claim in mine:
            quotation = nodes.term("", "", nodes.Text(f"“{claim['english']}”"))
            about = nodes.paragraph()
            about += nodes.strong("", claim["verdict"].capitalize())
            about += nodes.Text(f" (claim {claim['id']}). ")
            first, *rest = self.parsed(claim["answer"])
            about += first.children
            body = nodes.definition("", about, *rest)
            table += nodes.definition_list_item("", quotation, body)
        return [table]


class ClaimsTable(ClaimsDirective):
    """All claims, one row each; a script on the page adds the filters."""

    def run(self) -> list[nodes.Node]:
        head = ("Claim", "Verdict", "What we found", "Settled by")
        table = nodes.table(classes=["claims-table"])
        group = nodes.tgroup(cols=len(head))
        table += group
        for width in (35, 12, 45, 18):
            group += nodes.colspec(colwidth=width)
        row = nodes.row()
        for name in head:
            row += nodes.entry("", nodes.paragraph("", name))
        group += nodes.thead("", row)
        body = nodes.tbody()
        group += body
        for claim in self.claims():
            body += self.row(claim)
        return [table]

    def row(self, claim: dict) -> nodes.row:
        article = int(claim["id"][0])
        row = nodes.row(
            ids=[f"claim-{claim['id'].replace('.', '-')}"],
            classes=[
                f"article-{article}",
                f"verdict-{claim['verdict']}",
                f"by-{claim['by']}",
                f"topic-{claim.get('topic', 'none').replace('_', '-')}",
            ],
        )
        said = nodes.entry()
        said += nodes.paragraph("", "", nodes.inline("", claim["id"], classes=["claim-number"]))
        said += nodes.paragraph("", f"“{claim['english']}”")
        said += nodes.paragraph(
            "", "", nodes.inline("", claim["quote"], classes=["claim-original"])
        )
        verdict = nodes.entry()
        word = nodes.inline("", claim["verdict"], classes=["verdict", f"is-{claim['verdict']}"])
        verdict += nodes.paragraph("", "", word)
        found = nodes.entry("", *self.parsed(claim["answer"]))
        if claim.get("unchecked"):
            found += nodes.paragraph("", "", nodes.emphasis("", "Not checked: "))
            found[-1] += self.inline(claim["unchecked"])
        row += [said, verdict, found, self.settled(claim)]
        return row

    def settled(self, claim: dict) -> nodes.entry:
        """How the claim was settled, by which works, and which chapter treats it."""
        entry = nodes.entry()
        entry += nodes.paragraph("", "nobody yet" if claim["by"] == "none" else claim["by"])
        if claim["sources"]:
            keys = ",".join(claim["sources"])
            entry += nodes.paragraph("", "", *self.inline(f"{{cite}}`{keys}`"))
        topic = claim.get("topic")
        if topic and f"chapters/{topic}" in self.env.found_docs:
            link = self.inline(f"{{doc}}`in the chapter </chapters/{topic}>`")
            entry += nodes.paragraph("", "", *link)
        elif topic:
            words = topic.replace("_", " ")
            entry += nodes.paragraph("", f"{words}: in a chapter to come")
        return entry


class CountRole(SphinxRole):
    """How many claims: ``all``, a verdict, or a topic; with a capital, as a word."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        claims = read(Path(self.env.srcdir) / FILE)
        self.env.note_dependency(str(Path(self.env.srcdir) / FILE))
        name = self.text.lower()
        try:
            count = counted(claims, name)
        except ValueError as error:
            logger.warning("%s", error, location=self.get_location())
            count = 0
        word = self.text[:1].isupper() and count < len(NUMBER_WORDS)
        return [nodes.Text(NUMBER_WORDS[count] if word else str(count))], []


def counted(claims: tuple[dict, ...], name: str) -> int:
    """The number of claims of a verdict or a topic, or of all.

    Raises ``ValueError`` for another name.
    """
    if name == "all":
        return len(claims)
    if name not in VERDICTS + TOPICS:
        raise ValueError(f"claims-count: got {name!r}; expected all, a verdict or a topic")
    return sum(name in (claim["verdict"], claim.get("topic")) for claim in claims)


class TallyDirective(ClaimsDirective):
    """Verdicts by article, counted."""

    def run(self) -> list[nodes.Node]:
        claims = self.claims()
        counts = Counter((int(claim["id"][0]), claim["verdict"]) for claim in claims)
        lines = [f"| article | {' | '.join(VERDICTS)} | all |", "|---" * (len(VERDICTS) + 2) + "|"]
        for article, name in enumerate(ARTICLES):
            row = [counts[article, verdict] for verdict in VERDICTS]
            lines.append(f"| {article}: {name} | {' | '.join(map(str, row))} | {sum(row)} |")
        total = [counted(tuple(claims), verdict) for verdict in VERDICTS]
        lines.append(f"| all | {' | '.join(map(str, total))} | {sum(total)} |")
        return self.parsed("\n".join(lines))


def link(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """Add the filters' script to the page that holds the table."""
    if "claims-table" in (context.get("body") or ""):
        app.add_js_file("claims/claims.js", loading_method="defer")


def write_script(app: Sphinx) -> None:
    if assets.is_site(app):
        assets.copy(app, assets.FACE / "claims.js", "claims")


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Say which words of the table are Chinese, so that they are spoken as such."""
    page = Path(app.outdir) / "chapters/claims.html"
    if exception or not assets.is_site(app) or not page.exists():
        return
    html = page.read_text(encoding="utf8")
    marked = html.replace(
        '<span class="claim-original">', '<span class="claim-original" lang="zh-Hans">'
    )
    page.write_text(marked, encoding="utf8")


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", lambda app: read.cache_clear())
    app.connect("builder-inited", write_script)
    app.connect("html-page-context", link)
    app.connect("build-finished", finish, priority=400)
    app.add_directive("claims", ChapterClaims)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("claims-tally", TallyDirective)
    app.add_role("claims-count", CountRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
