"""The policy allows a page's own scripts, inline ones by their hash, and nothing else."""

import base64
import hashlib
import re

import pytest

from extensions import security_policy

HEAD = '<html>\n  <head>\n    <meta charset="utf-8" />\n'
PAGE = HEAD + (
    "<script>let a = 1;</script>"
    '<script data-x="y">b</script>'
    '<script src="c.js"></script>'
    '<script type="application/json">{"d": 1}</script>'
    '<script type="text/x-thebe-config">{ kernel: 1 }</script>\n'
    "<script>kernelName = 'python3'</script>"
    '</head><button onclick="window.print()" class="btn">'
)


def digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def scripts(html):
    (content,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in content.split(";"))
    return rules["script-src"].split()


def test_each_inline_script_has_its_hash():
    allowed = scripts(security_policy.guard(PAGE))
    assert set(allowed) == {"'self'", digest("let a = 1;"), digest("b")}


def test_the_policy_comes_before_any_script():
    html = security_policy.guard(PAGE)
    assert html.index("Content-Security-Policy") < html.index("<script")


def test_what_no_policy_could_allow_is_gone():
    html = security_policy.guard(PAGE)
    assert "thebe" not in html and "kernelName" not in html and "onclick" not in html
    assert '<button data-print class="btn">' in html


def test_an_equal_page_gets_an_equal_policy():
    assert security_policy.guard(PAGE) == security_policy.guard(PAGE)


def test_a_page_without_a_head_is_refused():
    with pytest.raises(ValueError, match="expected <head>"):
        security_policy.guard("<p>nothing")
