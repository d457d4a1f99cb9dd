"""Each patch mends what it says, once."""

import pytest

from extensions import accessibility

FAULTS = [
    (
        '<button class="btn search-button-field" title="Search" aria-label="Search" x="1">',
        '<button class="btn search-button-field" title="Search" x="1">',
    ),
    (
        '<i class="theme-switch fa-solid fa-sun" data-mode="light"  title="Light"></i>',
        '<i class="theme-switch fa-solid fa-sun" data-mode="light" aria-hidden="true"></i>',
    ),
    (
        '<div class="sidebar-primary-item">\n<a class="navbar-brand logo" href="#">',
        '<div class="sidebar-primary-item" role="region" aria-label="Book">\n'
        '<a class="navbar-brand logo" href="#">',
    ),
    (
        '<div role="list" class="citation-list">\n'
        '<div class="citation" id="id2" role="doc-biblioentry">',
        '<div class="citation-list">\n<div class="citation" id="id2">',
    ),
    (
        '<section id="exercise-content"></section><section id="solution-content"></section>',
        '<section class="exercise-content"></section><section class="solution-content"></section>',
    ),
    (
        'Solution to<a class="reference" href="#x"> Exercise 1</a>',
        'Solution to <a class="reference" href="#x">Exercise 1</a>',
    ),
    (
        '<span class="sig-paren">(</span>\n\n<dl>\n<dd><em class="sig-param">a</em>,',
        '<span class="sig-paren">(</span><span class="sig-line"><em class="sig-param">a</em>,',
    ),
    (
        'a</em>,</dd>\n<dd><em class="sig-param">b',
        'a</em>,</span><span class="sig-line"><em class="sig-param">b',
    ),
    (
        'b</em>,</dd>\n</dl>\n\n<span class="sig-paren">)</span>',
        'b</em>,</span><span class="sig-paren">)</span>',
    ),
    (
        '<summary><span class="toctree-toggle" role="presentation">',
        '<summary aria-label="Show the pages of this part">'
        '<span class="toctree-toggle" role="presentation">',
    ),
    (
        '<summary aria-label="Toggle hidden content">',
        "<summary>",
    ),
]


@pytest.mark.parametrize(("fault", "mended"), FAULTS)
def test_a_fault_is_mended(fault, mended):
    assert accessibility.mend(fault) == mended
    assert accessibility.mend(mended) == mended


def test_every_patch_has_its_fault_here():
    assert len(FAULTS) == len(accessibility.PATCHES)
