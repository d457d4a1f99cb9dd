// What is wider than the column scrolls inside its own box; a keyboard must reach that box.
(() => {
  const boxes = "pre, .cell_output .output, .scroll-box, .katex-display, mjx-container, .pst-scrollable-table-container";
  const mark = () => {
    for (const box of document.querySelectorAll(boxes)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls && !box.hasAttribute("tabindex")) box.tabIndex = 0;
      else if (!scrolls && box.tabIndex === 0) box.removeAttribute("tabindex");
    }
  };
  mark();
  addEventListener("resize", mark);
  document.fonts?.ready.then(mark);
  for (const button of document.querySelectorAll("[data-print]"))
    button.addEventListener("click", () => print());
  // on paper everything is open and light; behind it, as it was before
  const { dataset } = document.documentElement;
  let closed = [];
  let theme;
  addEventListener("beforeprint", () => {
    theme = dataset.theme;
    dataset.theme = "light";
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    dataset.theme = theme;
    for (const details of closed) details.open = false;
  });
})();
