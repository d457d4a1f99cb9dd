// A map of what mixup changes: a square for each number of labels and share of wrong ones, coloured and named by
// its verdict; for the chosen square, the difference at every α, with its interval.

import {
  body, button, choice, colour, dataLink, drawn, element, frame, percent, say, slider, spoken, whenSized,
} from "./figure.mjs";

const TEXT = {
  kind: "Images and model:",
  kinds: { "digits, CNN": "Digits, a CNN", "clothes, CNN": "Clothes, a CNN", "clothes, ViT": "Clothes, a ViT" },
  metric: "What is compared:",
  metrics: { error: "error", nll: "negative log-likelihood", ece: "calibration error" },
  units: { error: "points", nll: "nats", ece: "points" },
  alpha: "How much is mixed, α:",
  reset: "Start again",
  map: "{change}, by {labels} numbers of labels and {wrong} shares of wrong ones: arrow keys choose a square",
  change: "Change of the {metric} in {unit}",
  hint: "Less is better. Choose a square: click, tap, or arrow keys.",
  corner: "wrong",
  column: "{labels} labels",
  square: "{labels} labels, {wrong} wrong: {size}, {verdict}",
  verdicts: { helps: "helps", hurts: "hurts", none: "none seen" },
  right: "all of them right",
  wrong: "{share} of them wrong",
  place: "{kind}, {labels} labels, {wrong}, α\u00a0=\u00a0{alpha}",
  falls: "{place}: the {metric} falls by {size} {unit} ({low} to {high}), from {plain} to {mixed}.",
  rises: "{place}: the {metric} rises by {size} {unit} ({low} to {high}), from {plain} to {mixed}.",
  less: "{place}: no effect on the {metric} seen: {size} {unit} less ({low} to {high}), from {plain} to {mixed}.",
  more: "{place}: no effect on the {metric} seen: {size} {unit} more ({low} to {high}), from {plain} to {mixed}.",
  count: "{kind}: mixup lowers the {metric} in {helps} of {many} comparisons and raises it in {hurts}{rest}.",
  rest: "; in {none} no effect is seen",
  none: "none",
  plot: "The chosen square at every α",
  drawing: "Change of the {metric} in {unit}, {labels} labels, {wrong} wrong: {told}",
  dot: "{size} ({low} to {high}) at α\u00a0=\u00a0{alpha}, {verdict}",
  axis: "α",
  key: "Lines are 95\u00a0% intervals. A dot is filled, and a square coloured, where the effect holds up once all {many} comparisons of the map are judged together.",
  address: "The address of this page holds what you choose, to be kept or shared.",
  data: "All comparisons, as numbers (CSV)",
};

const CHOSEN = ["kind", "metric", "alpha", "labels", "wrong"];
const AXES = ["labels", "wrong", "alpha"];
const SCALES = { error: [100, 1], nll: [1, 2], ece: [100, 1] }; // how many of the unit are one; digits
const IDEAS = { helps: "recurrence", hurts: "attention", none: "muted" };

// What is chosen, of the comparisons that there are

const unique = (values) => [...new Set(values)];

/** The labels, the shares of wrong ones and the α of a kind, each in order. */
export function choicesOf(cells, kind) {
  const of = cells.filter((cell) => cell.kind === kind);
  return Object.fromEntries(AXES.map((name) => [name, unique(of.map((cell) => cell[name])).sort((a, b) => a - b)]));
}

/** What is chosen, in the kind that is chosen: the nearest labels, share and α that it has. */
export function settled(chosen, cells) {
  const now = { ...chosen };
  for (const [name, found] of Object.entries(choicesOf(cells, chosen.kind))) {
    const value = chosen[name];
    const apart = (one) => (name === "wrong" ? Math.abs(one - value) : Math.max(one / value, value / one));
    now[name] = found.reduce((best, one) => (apart(one) < apart(best) ? one : best));
  }
  return now;
}

/** What cannot be: the names of such values. */
export function faults(chosen, cells) {
  const known = ["kind", "metric"].filter((name) => !cells.some((cell) => cell[name] === chosen[name]));
  if (known.includes("kind")) return known;
  const found = choicesOf(cells, chosen.kind);
  return [...known, ...AXES.filter((name) => !found[name].includes(chosen[name]))];
}

const cellOf = (cells, chosen) => cells.find((cell) => CHOSEN.every((name) => cell[name] === chosen[name]));

// The address: #mixing_map?kind=clothes%2C%20ViT&alpha=0.2, with what differs from how the figure opened

const MARK = "#mixing_map?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${encodeURIComponent(chosen[name])}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, cells) {
  if (!fragment.startsWith(MARK)) return opened;
  const asked = {};
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length))) {
    if (CHOSEN.includes(name)) asked[name] = AXES.includes(name) ? Number(value.trim() || NaN) : value;
  }
  const wrong = faults({ ...opened, ...asked }, cells);
  const kind = asked.kind !== undefined && !wrong.includes("kind") ? asked.kind : opened.kind;
  const now = settled({ ...opened, kind }, cells);
  const faulty = faults({ ...now, ...asked, kind }, cells);
  for (const name of CHOSEN) if (name !== "kind" && name in asked && !faulty.includes(name)) now[name] = asked[name];
  return now;
}

// What is said

/** Whether mixup helps or hurts in a comparison, or nothing is seen. */
export function verdictOf({ seen, more }) {
  if (!seen) return "none";
  return more < 0 ? "helps" : "hurts";
}

/** With so many decimals, a true minus sign, and none before 0. */
function fixed(value, digits) {
  const text = value.toFixed(digits);
  return Number(text) ? text.replace("-", "−") : text.replace("-", "");
}

/** The difference with its sign, in its unit. */
export function signed({ metric, more }) {
  const [times, digits] = SCALES[metric];
  const size = fixed(times * more, digits);
  return more > 0 && Number(size) ? `+${size}` : size;
}

const kindName = (kind, text) => (Object.hasOwn(text.kinds, kind) ? text.kinds[kind] : kind);
const changeOf = ({ metric }, text) => say(text.change, { metric: text.metrics[metric], unit: text.units[metric] });
const grouped = (many) => many.toLocaleString("en");
const short = (alpha) => String(Number(alpha.toPrecision(6)));

/** A comparison in words, with its interval and what it is a difference of. */
export function sentence(cell, text = TEXT) {
  const { kind, labels, wrong, alpha, metric, seen } = cell;
  const [times, digits] = SCALES[metric];
  const [more, low, high, plain, mixed] = ["more", "low", "high", "plain", "mixed"].map((name) => times * cell[name]);
  const less = more < 0;
  const told = (value) => fixed(value, digits);
  const level = (value) => told(value) + (text.units[metric] === "points" ? "\u00a0%" : "");
  const [verb, word] = less ? [text.falls, text.less] : [text.rises, text.more];
  return say(seen ? verb : word, {
    place: say(text.place, {
      kind: kindName(kind, text), labels: grouped(labels), alpha: short(alpha),
      wrong: wrong ? say(text.wrong, { share: percent(wrong) }) : text.right,
    }),
    metric: text.metrics[metric], unit: text.units[metric],
    size: told(Math.abs(more)), low: told(less ? -high : low), high: told(less ? -low : high),
    plain: level(plain), mixed: level(mixed),
  });
}

/** How many comparisons of the kind and metric help, hurt, and show nothing. */
export function count({ kind, metric }, cells, text = TEXT) {
  const verdicts = cells.filter((cell) => cell.kind === kind && cell.metric === metric).map(verdictOf);
  const [helps, hurts, none] = ["helps", "hurts", "none"].map((one) => verdicts.filter((it) => it === one).length);
  return say(text.count, {
    kind: kindName(kind, text), metric: text.metrics[metric], many: grouped(verdicts.length),
    helps: helps || text.none, hurts: hurts || text.none, rest: none ? say(text.rest, { none }) : "",
  });
}

/** A comparison as its square says it: the difference and the verdict. */
export function inShort(cell, text = TEXT) {
  const { labels, wrong } = cell;
  return say(text.square, {
    labels: grouped(labels), wrong: percent(wrong), size: signed(cell), verdict: text.verdicts[verdictOf(cell)],
  });
}

// What is drawn

/** Round numbers between the two, two to seven, and 0 among them. */
function ticksOf([low, high]) {
  const rough = (high - low) / 6;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * ten).find((one) => one >= rough);
  const [first, last] = [Math.ceil(low / step), Math.floor(high / step)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

const withSign = (value) => (value > 0 ? `+${value}` : String(value).replace("-", "−"));

/** The difference at each α of the chosen square, with its interval; the chosen α stands on a band. */
function plot(chosen, cells, { width, text }) {
  const { kind, metric, labels, wrong, alpha } = chosen;
  const [times, digits] = SCALES[metric];
  const alphas = choicesOf(cells, kind).alpha;
  const row = alphas.map((one) => cellOf(cells, { ...chosen, alpha: one }));
  const [least, most] = [Math.min(0, ...row.map((cell) => cell.low)), Math.max(0, ...row.map((cell) => cell.high))];
  const room = 0.08 * (most - least || 1 / times);
  const domain = [times * (least - room), times * (most + room)];
  const told = (value) => fixed(times * value, digits);
  const dots = row.map((cell) =>
    say(text.dot, {
      size: signed(cell), low: told(cell.low), high: told(cell.high), alpha: short(cell.alpha),
      verdict: text.verdicts[verdictOf(cell)],
    }));
  const unit = text.units[metric];
  const made = frame({
    width, height: 224, flags: 0,
    x: {
      domain: [alphas[0] / 1.35, alphas.at(-1) * 1.35], ticks: alphas, log: true, text: short, label: text.axis,
    },
    y: { domain, ticks: ticksOf(domain), text: withSign, label: unit },
    label: say(text.drawing, {
      metric: text.metrics[metric], unit, labels: grouped(labels), wrong: percent(wrong), told: dots.join("; "),
    }),
  });
  const { svg, along, up, edge } = made;
  const band = { x: along(alpha) - 15, y: edge.top, width: 30, height: edge.bottom - edge.top };
  svg.prepend(drawn("rect", { ...band, rx: 3, fill: colour("grid"), "fill-opacity": 0.5 }));
  for (const cell of row) {
    const [x, y, low, high] = [along(cell.alpha), ...["more", "low", "high"].map((name) => up(times * cell[name]))];
    const paint = colour(IDEAS[verdictOf(cell)]);
    const cap = (height) => `M${(x - 5).toFixed(1)},${height.toFixed(1)}h10`;
    const d = `M${x.toFixed(1)},${low.toFixed(1)}V${high.toFixed(1)}${cap(low)}${cap(high)}`;
    svg.append(drawn("path", { d, stroke: paint, "stroke-width": 2, fill: "none" }));
    const fill = cell.seen ? paint : colour("paper");
    svg.append(drawn("circle", { cx: x, cy: y, r: 5.5, fill, stroke: paint, "stroke-width": 2 }));
  }
  return { ...made, alphas };
}

/** The squares, each a cell of a grid; arrow keys choose among them. */
function squares(text, choose) {
  const node = element("div", { class: "explorable-map", role: "grid" });
  let [shape, all, rows, columns, at] = ["", [], [], [], [0, 0]];
  const header = (role, name) => element("div", { role, class: "explorable-map-name" }, name);

  const build = () => {
    node.style.setProperty("--columns", columns.length);
    const names = columns.map((labels) => header("columnheader", say(text.column, { labels: grouped(labels) })));
    all = rows.map((wrong, i) => columns.map((labels, j) => {
      const [size, word] = [element("strong", {}), element("span", {})];
      const cell = element("div", { role: "gridcell" }, size, " ", word);
      cell.addEventListener("click", () => choose({ wrong, labels }));
      cell.addEventListener("keydown", (event) => moved(event, i, j));
      return { cell, size, word };
    }));
    node.replaceChildren(
      element("div", { role: "row" }, header("columnheader", text.corner), ...names),
      ...all.map((row, i) =>
        element("div", { role: "row" }, header("rowheader", percent(rows[i])), ...row.map(({ cell }) => cell))),
    );
  };

  const moved = (event, i, j) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = columns.length - 1;
    const to = {
      ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], Home: [i, 0],
      End: [i, last], " ": [i, j], Enter: [i, j],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const [row, column] = [Math.min(rows.length - 1, Math.max(0, to[0])), Math.min(last, Math.max(0, to[1]))];
    choose({ wrong: rows[row], labels: columns[column] });
    all[at[0]][at[1]].cell.focus();
  };

  const show = (chosen, cells) => {
    ({ wrong: rows, labels: columns } = choicesOf(cells, chosen.kind));
    const now = JSON.stringify([rows, columns]);
    const change = changeOf(chosen, text);
    node.setAttribute("aria-label", say(text.map, { change, labels: columns.length, wrong: rows.length }));
    const focused = node.contains(node.getRootNode().activeElement);
    if (now !== shape) build();
    at = [rows.indexOf(chosen.wrong), columns.indexOf(chosen.labels)];
    all.forEach((row, i) => row.forEach(({ cell, size, word }, j) => {
      const found = cellOf(cells, { ...chosen, wrong: rows[i], labels: columns[j] });
      const here = i === at[0] && j === at[1];
      size.textContent = signed(found);
      word.textContent = text.verdicts[verdictOf(found)];
      cell.dataset.verdict = verdictOf(found);
      cell.setAttribute("aria-label", inShort(found, text));
      cell.setAttribute("aria-selected", here);
      cell.tabIndex = here ? 0 : -1; // the map is one stop of the tab key
    }));
    if (now !== shape && focused) all[at[0]][at[1]].cell.focus();
    shape = now;
  };
  return { node, show };
}

let figures = 0; // on this page: the first one has the address

function controls(text, cells, chosen, set) {
  const pick = (name, words) =>
    choice({
      label: text[name], options: unique(cells.map((cell) => cell[name])).map((one) => [one, words(one)]),
      value: chosen[name], onChange: (value) => set({ [name]: value }),
    });
  let alphas = choicesOf(cells, chosen.kind).alpha;
  const alpha = slider({
    label: text.alpha, max: alphas.length - 1, position: alphas.indexOf(chosen.alpha),
    text: (position) => short(alphas[position]), onInput: (position) => set({ alpha: alphas[position] }),
  });
  const show = (now) => {
    alphas = choicesOf(cells, now.kind).alpha;
    alpha.input.max = alphas.length - 1;
    alpha.show(alphas.indexOf(now.alpha));
  };
  return {
    kind: pick("kind", (kind) => kindName(kind, text)),
    metric: pick("metric", (metric) => text.metrics[metric]),
    alpha: { ...alpha, show },
  };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const cells = model.get("cells");
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, timer, busy, made, counted] = [0, 0, false, null, count(opened, cells, text)];

  const change = (changes) => show(settled({ ...chosen, ...changes }, cells));
  const panel = controls(text, cells, chosen, change);
  const map = squares(text, change);
  const said = spoken();
  const title = element("p", { class: "explorable-label" });
  const canvas = element("div", { class: "explorable-canvas explorable-drag" });
  const counts = element("p", {});

  /** Shows what is chosen now, and keeps it in the model and in the address. */
  const show = (now) => {
    chosen = now;
    busy = true;
    for (const name of CHOSEN) model.set(name, chosen[name]);
    busy = false;
    model.save_changes();
    if (addressed) {
      clearTimeout(timer);
      timer = setTimeout(write, 300); // a browser allows only so many changes of the address in a row
    }
    draw();
  };

  const draw = () => {
    if (!width) return;
    const { kind, metric } = chosen;
    panel.kind.input.value = kind;
    panel.metric.input.value = metric;
    panel.alpha.show(chosen);
    title.textContent = changeOf(chosen, text);
    map.show(chosen, cells);
    made = plot(chosen, cells, { width, text });
    canvas.replaceChildren(made.svg);
    const now = count(chosen, cells, text);
    said.set(sentence(cellOf(cells, chosen), text), now === counted ? "" : now);
    counts.textContent = counted = now;
  };

  const write = () => {
    const fragment = toAddress(chosen, opened);
    if (fragment === location.hash || (!fragment && !location.hash.startsWith(MARK))) return;
    try {
      history.replaceState(history.state, "", fragment || location.pathname + location.search);
    } catch {
      // an address that may not be changed is none to share
    }
  };

  const follow = () => {
    if (location.hash.startsWith(MARK)) show(fromAddress(location.hash, opened, cells));
  };

  const told = () => {
    if (busy || faults(read(), cells).length) return;
    chosen = read();
    draw();
  };

  // the drawing moves α as well; the slider stays the way for keyboard and screen reader
  const drag = ({ clientX }) => {
    const x = clientX - canvas.getBoundingClientRect().left;
    const apart = (alpha) => Math.abs(made.along(alpha) - x);
    const alpha = made.alphas.reduce((best, one) => (apart(one) < apart(best) ? one : best));
    if (alpha !== chosen.alpha) change({ alpha });
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drag(event);
  });

  const note = (said) => element("p", { class: "explorable-note" }, said);
  const left = element("div", {}, panel.alpha.node, title, map.node, note(text.hint));
  const right = element("div", {}, ...said.nodes, element("p", { class: "explorable-label" }, text.plot), canvas);
  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  el.append(
    body(
      model,
      rows(panel.kind.node, panel.metric.node),
      element("div", { class: "explorable-board explorable-map-board" }, left, right),
      counts,
      note(say(text.key, { many: grouped(cells.length) })),
      rows(button(text.reset, () => show({ ...opened }))),
      ...(addressed ? [note(text.address)] : []),
      dataLink(model.get("table"), "mixing_map.csv", text.data),
    ),
  );
  const changes = CHOSEN.map((name) => `change:${name}`).join(" ");
  model.on(changes, told);
  if (addressed) {
    addEventListener("hashchange", follow);
    follow();
  }
  const resized = (now) => {
    width = now;
    draw();
  };
  resized(Math.floor(canvas.clientWidth)); // at once, so that nothing moves once it is seen
  const unsized = whenSized(canvas, resized);
  return () => {
    clearTimeout(timer);
    if (addressed) removeEventListener("hashchange", follow);
    model.off(changes, told);
    said.stop();
    unsized();
  };
}

export default { render };
