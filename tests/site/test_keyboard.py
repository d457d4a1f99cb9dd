"""With the keyboard alone: everything that can be used is reached, in order, and seen."""

# bertviz's views live in shadow roots, which the page's own queries do not enter
EVERYWHERE = """
  const everywhere = (root, what) => {
    const inner = [...root.querySelectorAll("*")].flatMap((e) => e.shadowRoot ?? []);
    return [...root.querySelectorAll(what), ...inner.flatMap((one) => everywhere(one, what))];
  };
"""
REACHABLE = f"""() => {{
  {EVERYWHERE}
  const kinds = "a[href], button, input, select, summary, [tabindex]";
  const hidden = (e) => !e.checkVisibility({{ visibilityProperty: true }}) || e.closest("[inert]");
  return everywhere(document, kinds).filter(
    (e) => e.tabIndex >= 0 && !e.disabled && !hidden(e) && e.getClientRects().length
  ).length;
}}"""
FOCUSED = """() => {
  let e = document.activeElement;
  if (!e || e === document.body) return null;
  while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
  e.dataset.reached = "yes";
  const style = getComputedStyle(e);
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const seen = ring || style.boxShadow !== "none" || style.textDecorationLine !== "none";
  const name = `${e.tagName} ${e.getAttribute("class")} ${e.textContent.slice(0, 30)}`;
  return { name, seen };
}"""
REACHED = f"() => {{ {EVERYWHERE} return everywhere(document, '[data-reached]').length; }}"


def test_every_control_is_reached_and_seen(visit, address, page_name):
    page, _ = visit(f"{address}/{page_name}")
    wanted = page.evaluate(REACHABLE)
    invisible = set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found and not found["seen"]:
            invisible.add(found["name"])
    assert invisible == set()
    assert page.evaluate(REACHED) >= wanted


def test_the_first_stop_skips_to_the_text(visit, address):
    page, _ = visit(f"{address}/chapters/recurrence.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to main content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_fold_out_opens_by_enter(visit, address):
    page, _ = visit(f"{address}/chapters/recurrence.html")
    summary = page.locator("details.toggle-details > summary, article details > summary").first
    was_open = summary.evaluate("element => element.parentElement.open")
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("element => element.parentElement.open") != was_open


def test_search_opens_and_closes(visit, address):
    page, _ = visit(f"{address}/index.html")
    page.keyboard.press("Control+k")
    field = page.locator("#pst-search-dialog input, .search-button__wrapper.show input").first
    field.wait_for(state="visible")
    page.keyboard.press("Escape")
    field.wait_for(state="hidden")
