"""bertviz's views in a browser that reaches no other host: on a page, from disk, in JupyterLab.

Most tests open a small page of their own, under the policy of the book's pages; two open the
chapter that shows the views, as a page and as the exported notebook.
"""

import re
from pathlib import Path

import nbformat
import pytest
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell

from extensions import palette_css
from extensions.security_policy import guard
from payattention import data
from payattention.explorables import HeadView, ModelView, NeuronView, bundle

ROOT = Path(__file__).parents[2]
LOADER = ROOT / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
HEAD, MODEL, NEURON, OTHER_HEAD = range(4)
CHAPTER = "chapters/attention"
VIEW = re.compile(r"explorables\.(Head|Model|Neuron)View\(")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page with all three views, one of them twice, as the book builds it."""
    folder = tmp_path_factory.mktemp("views")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "bertviz.js").write_text(bundle.classic_script("bertviz"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    tired, wide, *_, short = data.attention_maps()
    views = [
        HeadView(tired, layer=3, heads=[1]),
        ModelView(tired),
        NeuronView(short, layers=[0, 3], layer=3, head=1),
        HeadView(wide, layer=5),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Views</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="_static/explorables/explorables.css">'
        '<script defer src="_static/explorables/loader.js"></script></head>'
        f"<body><main><h1>Views</h1>{''.join(view.fallback() for view in views)}</main>"
        "</body></html>"
    )
    (folder / "index.html").write_text(guard(page), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(serve, folder):
    with serve(folder) as address:
        yield address


@pytest.fixture
def opened(visit, folder):
    """The page from disk, awake; at the end nothing was asked of others, and nothing went wrong."""
    logs = []

    def open_page(address=None, **settings):
        page, log = visit(f"{address or folder.as_uri()}/index.html", **settings)
        logs.append(log)
        return page

    yield open_page
    for log in logs:
        assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])


def figure(page, place):
    return page.locator("figure").nth(place)


def choice(view, name):
    return view.get_by_role("combobox", name=name)


def visible_strength(view):
    """Every line's opacity, as one number that changes when other weights are drawn."""
    return view.locator("#vis line").evaluate_all(
        "all => all.reduce((sum, line, i) => sum + i * line.getAttribute('stroke-opacity'), 0)"
    )


@pytest.mark.parametrize("from_disk", [True, False])
def test_every_view_is_drawn(opened, address, from_disk):
    page = opened(None if from_disk else address)
    states = page.locator("figure").evaluate_all("all => all.map(one => one.dataset.state)")
    assert states == ["live"] * 4
    # 12 heads of 16 tokens squared; 72 of them; 9 tokens squared, and 9 vectors three times
    assert figure(page, HEAD).locator("#attention line").count() == 12 * 16**2
    assert figure(page, MODEL).locator("line").count() == 72 * 16**2
    assert figure(page, NEURON).locator("#collapsed #leftText ~ g line").count() == 9**2
    assert figure(page, NEURON).locator("#expanded rect.element").count() == 3 * 9 * 32
    leaked = page.evaluate(
        "['d3', 'jQuery', '$', 'require', 'requirejs'].filter(it => it in window)"
    )
    assert leaked == []
    if not from_disk:
        asked = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        assert len([name for name in asked if "/bertviz.js" in name]) == 1  # for all four views


def test_every_view_is_drawn_in_the_chapter(visit, site):
    page, log = visit((site / f"{CHAPTER}.html").as_uri())
    views = page.locator("figure[data-explorable=bertviz]")
    assert views.evaluate_all("all => all.map(one => one.dataset.state)") == ["live"] * 3
    assert views.nth(HEAD).locator("#attention line").count() == 12 * 16**2
    assert views.nth(MODEL).locator("line").count() == 72 * 16**2
    assert views.nth(NEURON).locator("#collapsed #leftText ~ g line").count() == 9**2
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])


def test_without_javascript_picture_findings_and_data_remain(opened):
    page = opened(javascript=False)
    for place in range(4):
        assert figure(page, place).locator("svg[role=img]").is_visible()
        assert "Of all attention" in figure(page, place).inner_text()
        assert figure(page, place).get_by_role("link", name="data (CSV)").is_visible()
    assert "“it” gives 68% of its attention to “animal”" in figure(page, HEAD).inner_text()


def test_head_view_follows_layer_heads_and_mouse(opened):
    page = opened()
    view, other = figure(page, HEAD), figure(page, OTHER_HEAD)
    before, beside = visible_strength(view), visible_strength(other)
    assert choice(view, "Layer").input_value() == "3"
    choice(view, "Layer").select_option("5")
    assert visible_strength(view) != before
    assert visible_strength(other) == beside  # each view has its own layer
    choice(view, "Layer").select_option("3")
    assert visible_strength(view) == before
    view.get_by_role("checkbox", name="Head 4").click()
    assert visible_strength(view) != before
    assert view.get_by_role("checkbox", checked=True).count() == 2
    lit = view.locator("#attention line[visibility=visible]")
    assert lit.count() == 0
    view.locator("#left > g:not(.attentionBoxes) > g").nth(10).hover()
    assert lit.count() == 12 * 16


def test_head_view_is_gone_through_by_keyboard(opened):
    page = opened()
    view = figure(page, HEAD)
    choice(view, "Layer").focus()
    page.keyboard.press("ArrowDown")
    assert choice(view, "Layer").input_value() == "4"
    page.keyboard.press("ArrowUp")
    # in the order in which bertviz has drawn: words, words, squares
    page.keyboard.press("Tab")
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    word = view.get_by_label(re.compile("^it looks at animal 67.7"))
    assert word.count() == 1
    assert view.locator("#attention line[visibility=visible]").count() == 12 * 16
    page.keyboard.press("Tab")
    assert (
        view.locator("[tabindex]:focus").get_attribute("aria-label").startswith("[CLS] is looked")
    )
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert view.get_by_role("checkbox", checked=True).count() == 2
    page.keyboard.press("Shift+Enter")
    (alone,) = view.get_by_role("checkbox", checked=True).all()
    assert alone.get_attribute("aria-label") == "Head 2"
    assert word.count() == 0  # what "it" looks at is said of the heads that are on


def test_model_view_opens_a_head_by_mouse_and_by_keyboard(opened):
    page = opened()
    view = figure(page, MODEL)
    large = view.locator("text.detail")
    assert large.count() == 0
    view.get_by_role("button", name="Layer 0, head 2").click()
    assert large.text_content() == "Layer 0, Head 2"
    view.get_by_role("button", name="Layer 0, head 2").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert large.text_content() == "Layer 3, Head 1"
    assert view.get_by_role("button", pressed=True).get_attribute("aria-label") == "Layer 3, head 1"
    page.keyboard.press("Tab")
    assert view.locator("g.detail [tabindex]:focus").count() == 1


def test_neuron_view_opens_the_arithmetic_by_mouse_and_by_keyboard(opened):
    page = opened()
    view = figure(page, NEURON)
    layer, head = choice(view, "Layer"), choice(view, "Head")
    assert layer.locator("option").all_inner_texts() == ["0", "3"]
    before = visible_strength(view)
    layer.select_option(label="0")
    assert visible_strength(view) != before
    layer.select_option(label="3")
    head.select_option("7")
    assert visible_strength(view) != before
    opened_up, closed = view.locator("#expanded"), view.locator("#collapsed")
    word = closed.locator("#leftText > g").nth(2)
    word.hover()
    word.locator("rect").last.click()
    assert opened_up.get_attribute("visibility") == "visible"
    sums = opened_up.locator(".dotproduct").evaluate_all("all => all.map(one => one.dataset.value)")
    scores = data.attention_maps()[-1]
    expected = scores.queries[3, 7, 2] @ scores.keys[3, 7].T / scores.queries.shape[-1] ** 0.5
    assert [float(one) for one in sums] == pytest.approx(expected.tolist(), abs=0.01)
    opened_up.locator("#leftText > g").nth(2).focus()
    page.keyboard.press("Enter")
    assert opened_up.get_attribute("visibility") == "hidden"
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert opened_up.get_attribute("visibility") == "visible"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_wide_drawing_scrolls_in_its_own_box(opened, width):
    page = opened(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for place in range(4):
        panel = figure(page, place).locator(".panel")
        box = panel.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    if width == 390:
        panel = figure(page, MODEL).locator(".panel")
        assert panel.evaluate("panel => panel.scrollWidth > panel.clientWidth")


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 390)])
def test_axe_finds_no_violation(opened, address, theme, width):
    page = opened(address, width=width)  # not from disk: axe reads the style sheet again
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    figure(page, MODEL).get_by_role("button", name="Layer 3, head 1", exact=True).click()
    page.evaluate(AXE.read_text(encoding="utf8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


def test_dark_theme_leaves_the_views_white(opened):
    page = opened()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    panel = figure(page, HEAD).locator(".panel")
    assert (
        panel.evaluate("panel => getComputedStyle(panel).backgroundColor") == "rgb(255, 255, 255)"
    )


# JupyterLab


def cell_with_views():
    """One cell of what the chapter's exported notebook runs to set up and to show its views."""
    notebook = nbformat.read(ROOT / f"{CHAPTER}.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    shown = [source for source in cells if VIEW.search(source)]
    assert [VIEW.search(source)[1] for source in shown] == ["Head", "Model", "Neuron"]
    # a cell shows its last line alone
    shown = [re.sub(r"^(explorables\..*)$", r"display(\1)", one, flags=re.M) for one in shown]
    return "\n".join([cells[1], *shown])


def test_every_view_is_drawn_in_jupyterlab(visit, tmp_path):
    pytest.importorskip("jupyterlab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell_with_views())])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "views.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, log = visit(f"{address}/lab/tree/views.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        views = page.locator(".explorable-body")
        views.nth(2).scroll_into_view_if_needed()
        views.nth(2).locator("#collapsed line").first.wait_for(state="attached")
        assert views.count() == 3
        assert views.nth(0).locator("#attention line").count() == 12 * 16**2
        assert views.nth(1).locator("#vis line").count() == 72 * 16**2
        assert views.nth(2).locator("#collapsed #leftText ~ g line").count() == 9**2
        before = visible_strength(views.nth(0))
        choice(views.nth(0), "Layer").select_option("5")
        assert visible_strength(views.nth(0)) != before
        assert [url for url in log.foreign if not url.startswith(("ws:", "wss:"))] == []
