"""What makes a browser ask another host is found; what does not is left alone."""

import pytest

from extensions import offline


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script defer src="//cdn.example/x.js"></script>',
        '<img alt="a" src="http://example.org/a.png">',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "<style>@import url('https://fonts.example/css');</style>",
        '<style>@import "https://fonts.example/css";</style>',
        '<p style="background: url(https://example.org/a.png)">',
        '<iframe title="t" src="https://example.org/"></iframe>',
        '<object data="https://example.org/a.svg"></object>',
    ],
)
def test_a_request_to_another_host_is_found(html):
    assert len(offline.foreign(html)) == 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://arxiv.org/abs/1706.03762">paper</a>',
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        '<link rel="canonical" href="https://example.org/">',
        '<script src="../_static/x.js"></script>',
        '<img alt="" src="data:image/png;base64,AAAA">',
        "<p>See https://example.org in the text.</p>",
    ],
)
def test_a_link_or_a_name_is_no_request(html):
    assert offline.foreign(html) == []


def test_the_icon_script_goes_and_others_stay():
    html = (
        '<script src="../_static/scripts/fontawesome.js?digest=8"></script>'
        '<link rel="preload" as="script" href="../_static/scripts/fontawesome.js?digest=8" />'
        '<script defer src="../_static/scripts/bootstrap.js"></script>'
    )
    left = offline.ICONS.sub("", html)
    assert left == '<script defer src="../_static/scripts/bootstrap.js"></script>'


class Script:
    def __init__(self, filename=None, **attributes):
        self.filename, self.attributes = filename, attributes


@pytest.mark.parametrize(
    ("script", "unused"),
    [
        (Script("_static/sphinx-thebe.js"), True),
        (Script(body='const THEBE_JS_URL = "https://unpkg.com"'), True),
        (Script(type=offline.WIDGET_STATE, body="{}"), True),
        (Script("_static/copybutton.js"), False),
        (Script(body=None), False),
    ],
)
def test_remote_kernels_and_widget_states_are_unused(script, unused):
    assert offline.is_unused(script) == unused
