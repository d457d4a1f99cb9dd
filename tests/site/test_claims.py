"""The table of claims: whole without a script, filtered with one, by mouse and by keyboard."""

import pytest

PAGE = "chapters/claims.html"
SHOWN = "table.claims-table tbody tr:not([hidden])"


@pytest.fixture
def open_page(visit, address):
    return lambda anchor="", **options: visit(f"{address}/{PAGE}{anchor}", **options)


def test_without_a_script_every_claim_is_there_and_no_control(open_page):
    page, _ = open_page(javascript=False)
    assert page.locator("table.claims-table tbody tr").count() == 121
    assert page.locator(".claims-filters").count() == 0
    assert page.locator("#claim-0-06").inner_text().startswith("0.06")


def test_a_filter_shows_what_was_asked_for_and_says_how_many(open_page):
    page, log = open_page()
    assert page.get_by_role("status").inner_text() == "All 121 claims"
    page.get_by_label("Verdict").select_option("false")
    assert page.locator(SHOWN).count() == 20
    assert page.get_by_role("status").inner_text() == "20 of 121 claims"
    page.get_by_label("Article").select_option("0")
    assert page.locator(SHOWN).count() == 8
    assert page.url.endswith("#article=0&verdict=false")
    assert log.complaints == [] and log.violations == []


def test_an_address_remembers_the_filter(open_page):
    page, _ = open_page("#verdict=unverifiable")
    assert page.locator(SHOWN).count() == 9
    assert page.get_by_label("Verdict").input_value() == "unverifiable"


def test_the_keyboard_alone_is_enough(open_page):
    page, _ = open_page()
    page.get_by_label("Settled by").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_label("Settled by").input_value() != ""
    assert 0 < page.locator(SHOWN).count() < 121


def test_chinese_is_said_to_be_chinese(open_page):
    page, _ = open_page()
    assert page.locator('.claim-original[lang="zh-Hans"]').count() == 121


def test_on_a_phone_each_claim_is_as_wide_as_the_page(open_page):
    page, _ = open_page(width=390)
    box = page.locator("table.claims-table tbody tr").first.bounding_box()
    cells = page.locator("table.claims-table tbody tr").first.locator("td").all()
    assert all(cell.bounding_box()["width"] > 0.9 * box["width"] for cell in cells)


def test_a_chapter_shows_its_claims(visit, address):
    page, _ = visit(f"{address}/chapters/recurrence.html")
    claims = page.locator("dl.claims dt")
    assert claims.count() == 9
    assert "RNNs forget older information" in claims.nth(1).inner_text()
