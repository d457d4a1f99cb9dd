"""Chapters and the reference link to each other on the built pages."""

CHAPTER, IDEAS = "chapters/recurrence.html", "reference/ideas.html"
NAME = "payattention.recurrence.lstm_cell"


def test_a_chapters_head_leads_to_the_code(visit, address):
    page, _ = visit(f"{address}/{CHAPTER}")
    head = page.locator("p.chapter-head")
    assert "without a GPU" in head.inner_text()
    link = head.get_by_role("link", name="lstm_cell")
    assert link.get_attribute("href").endswith(f"{IDEAS.split('/')[1]}#{NAME}")


def test_the_code_leads_back_to_its_chapter(visit, address):
    page, _ = visit(f"{address}/{IDEAS}")
    entry = page.locator(f'dt[id="{NAME}"] + dd')
    assert entry.get_by_role("link", name="What a fixed state forgets").is_visible()
    source = page.locator(f'dt[id="{NAME}"] a[href*="/blob/main/src/payattention/recurrence.py"]')
    assert source.count() == 1


def test_shapes_stand_in_signatures(visit, address):
    page, _ = visit(f"{address}/{IDEAS}")
    signature = page.locator('dt[id="payattention.attention.attend"]').inner_text()
    assert "Float[Tensor, '*batch rows d_head']" in signature
