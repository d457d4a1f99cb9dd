"""Every page passes axe-core, in both themes, on a desk and on a phone."""

from pathlib import Path

import pytest

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


# colours differ by theme, what is shown differs by width: three of the four say it all
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_violation(visit, address, page_name, scheme, width):
    page, _ = visit(f"{address}/{page_name}", scheme=scheme, width=width)
    page.evaluate(AXE.read_text(encoding="utf8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []
