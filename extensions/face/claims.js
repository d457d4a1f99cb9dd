// Filters for the table of claims. Without this script the table is whole, and has none.
(() => {
  const table = document.querySelector("table.claims-table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const filters = [
    ["article", "Article"],
    ["verdict", "Verdict"],
    ["topic", "Chapter"],
    ["by", "Settled by"],
  ];
  const value = (row, kind) =>
    [...row.classList].find((name) => name.startsWith(kind + "-")).slice(kind.length + 1);

  const bar = document.createElement("form");
  bar.className = "claims-filters";
  bar.setAttribute("aria-label", "Filter the claims");
  const count = document.createElement("p");
  count.setAttribute("role", "status");
  const selects = {};

  for (const [kind, name] of filters) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.append(new Option("all", ""));
    for (const one of new Set(rows.map((row) => value(row, kind)))) {
      const number = rows.filter((row) => value(row, kind) === one).length;
      const words = one === "none" ? (kind === "topic" ? "no chapter" : "nobody yet") : one;
      select.append(new Option(`${words.replaceAll("-", " ")} (${number})`, one));
    }
    select.addEventListener("change", () => show(true));
    label.append(name, select);
    bar.append(label);
    selects[kind] = select;
  }
  bar.addEventListener("submit", (event) => event.preventDefault());

  function show(remember) {
    let shown = 0;
    for (const row of rows) {
      row.hidden = filters.some(([k]) => selects[k].value && selects[k].value !== value(row, k));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `All ${shown} claims` : `${shown} of ${rows.length} claims`;
    if (!remember) return;
    const chosen = filters.filter(([k]) => selects[k].value).map(([k]) => `${k}=${selects[k].value}`);
    history.replaceState(null, "", chosen.length ? "#" + chosen.join("&") : location.pathname);
  }

  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const [kind] of filters) {
      const wanted = asked.get(kind) ?? "";
      if ([...selects[kind].options].some((option) => option.value === wanted))
        selects[kind].value = wanted;
    }
    show(false);
  }

  const place = table.closest(".pst-scrollable-table-container") ?? table;
  place.before(bar, count);
  addEventListener("hashchange", recall);
  recall();
})();
