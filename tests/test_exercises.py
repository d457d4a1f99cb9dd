"""Exercises of every chapter: each has a solution that passes, and a start that does not."""

import re
from pathlib import Path

import pytest

CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("*.md"))
EXERCISE = re.compile(
    r"```\{exercise-start\}.*?\n:label: (?P<label>\S+)\n```\n(?P<body>.*?)```\{exercise-end\}", re.S
)
SOLUTION = re.compile(
    r"```\{solution-start\} (?P<label>\S+)\n.*?```\n(?P<body>.*?)```\{solution-end\}", re.S
)
CODE = re.compile(r"```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(?P<code>.*?)```", re.S)


def bodies(pattern: re.Pattern) -> dict[tuple[str, str], str]:
    return {
        (chapter.name, match["label"]): match["body"]
        for chapter in CHAPTERS
        for match in pattern.finditer(chapter.read_text("utf-8"))
    }


EXERCISES, SOLUTIONS = bodies(EXERCISE), bodies(SOLUTION)
CHECKED = [key for key, body in EXERCISES.items() if "checks." in body]


def verdicts(chapter: str, body: str) -> list:
    """What the checks say that the cells of the exercise call, after the chapter's first cell."""
    source = next(path for path in CHAPTERS if path.name == chapter).read_text("utf-8")
    space: dict = {}
    exec(CODE.search(source)["code"], space)
    said = []
    for match in CODE.finditer(body):
        *lines, last = match["code"].strip().split("\n")
        assert last.startswith("checks."), "the last line of a checked cell is its check"
        exec("\n".join(lines), space)
        said.append(eval(last, space))
    return said


def test_there_are_exercises():
    assert len(EXERCISES) >= 5 and len(CHECKED) >= 5


def test_every_exercise_has_a_solution():
    assert EXERCISES.keys() == SOLUTIONS.keys()


@pytest.mark.parametrize("key", CHECKED, ids=lambda key: key[1])
def test_solutions_pass_and_starts_fail(key):
    solved = verdicts(key[0], SOLUTIONS[key])
    assert solved and all(solved), solved
    started = verdicts(key[0], EXERCISES[key])
    assert started and not any(started)
