"""The browser enforces each page's policy."""

import re

LOOSE = ("unsafe-inline", "unsafe-eval", "blob:", "data:", "http:", "https:", "*")


def test_every_page_has_a_tight_policy(site, page_name):
    html = (site / page_name).read_text(encoding="utf8")
    (content,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in content.split(";"))
    assert not [word for word in LOOSE if word in rules["script-src"]]
    assert rules["default-src"] == "'none'"
    assert not re.search(r"<[^>]*\son[a-z]+=", html), "an inline handler would not run"
    assert "javascript:" not in html


def test_a_foreign_script_does_not_run(visit, address):
    page, log = visit(f"{address}/index.html")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
          const handler = document.createElement("div");
          handler.setAttribute("onclick", "window.ran = true");
          document.body.append(handler);
          handler.click();
        }"""
    )
    assert page.evaluate("window.ran") is None
    page.wait_for_function("true")
    assert any("script-src" in violation for violation in log.violations)


def test_the_print_button_still_prints(visit, address):
    page, log = visit(f"{address}/chapters/recurrence.html")
    page.evaluate("window.print = () => { window.printed = true; }")
    page.evaluate("document.querySelector('[data-print]').click()")
    assert page.evaluate("window.printed")
    assert log.violations == []
