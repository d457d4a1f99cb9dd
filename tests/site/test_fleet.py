"""The fleet on its built page: moved by hand and by keyboard, with no kernel."""

import re

import pytest

from payattention.explorables import Fleet

PAGE = "chapters/quadratic_cost.html"


@pytest.fixture
def figure(visit, address):
    """The figure, awake; at the end nothing was asked of others, and nothing went wrong."""
    page, log = visit(f"{address}/{PAGE}")
    found = page.locator('figure[data-explorable="fleet"]')
    found.scroll_into_view_if_needed()
    found.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    yield found
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])


def finding(figure):
    return figure.locator(".explorable-finding").inner_text()


def test_it_opens_with_the_scenario_and_follows_its_sliders(figure):
    assert finding(figure) == Fleet().findings()[0]
    figure.get_by_role("slider", name=re.compile("full power")).fill("45")
    assert finding(figure) == Fleet(utilisation=0.5).findings()[0]


def test_it_is_moved_by_keyboard_alone(figure):
    slider = figure.get_by_role("slider", name=re.compile("server draws"))
    slider.focus()
    slider.press("End")
    assert finding(figure) == Fleet(watts=15_000).findings()[0]
    slider.press("Tab")
    figure.page.keyboard.press("Home")
    assert finding(figure) == Fleet(watts=15_000, utilisation=0.05).findings()[0]
