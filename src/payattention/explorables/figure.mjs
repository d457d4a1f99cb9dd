// What every explorable draws with: elements, controls, scales, a frame with two axes.
// Nothing here knows which figure it serves. Colours come from the style sheet's variables,
// so that a figure follows the page from light to dark without being drawn again.

const SVG = "http://www.w3.org/2000/svg";

export const colour = (idea) => `var(--explorable-${idea})`;

/** An HTML element with attributes and children; text is set as text, never as HTML. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element with attributes and children. */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** "half is left after {steps} steps" and { steps: 7 } give a sentence. */
export function say(template, values = {}) {
  return template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** 4096 as "4,096"; small fractions with two digits that count. */
export function number(value) {
  const digits = value >= 100 || Number.isInteger(value) ? 0 : undefined;
  const options = digits === 0 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 };
  return value.toLocaleString("en", options);
}

/** A share of 1 as per cent, on one line: "100 %", "3.8 %", "0.0012 %". */
export function percent(share) {
  const value = 100 * share;
  const digits = value >= 99 ? 4 : value >= 10 ? 3 : 2;
  return `${value.toLocaleString("en", { maximumSignificantDigits: digits })}\u00a0%`;
}

/** Sets a trait of the model and tells the kernel, where there is one. */
export const setting = (model) => (key, value) => {
  model.set(key, value);
  model.save_changes();
};

/** A figure under its title: what `render` puts into the page. */
export function body(model, ...nodes) {
  const title = model.get("title");
  const head = element("p", { class: "explorable-title" }, title);
  const whole = element("div", { class: "explorable-body", role: "group", "aria-label": title }, head, ...nodes);
  whole.addEventListener("keydown", (event) => {
    // what moves a control here is no shortcut of the notebook around it: JupyterLab takes the arrow keys
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    if (plain && /^(Arrow|Page|Home|End|Enter| )/.test(event.key)) event.stopPropagation();
  });
  return whole;
}

/** A labelled native slider; `text(position)` is what is shown and read out. */
export function slider({ label, max, position, text, onInput }) {
  const input = element("input", { type: "range", min: 0, max, step: 1 });
  const shown = element("span", { class: "explorable-value", "aria-hidden": "true" });
  const show = (value) => {
    input.value = value;
    shown.textContent = text(Number(value));
    input.setAttribute("aria-valuetext", text(Number(value)));
  };
  input.addEventListener("input", () => {
    show(input.value);
    onInput(Number(input.value));
  });
  show(position);
  const name = element("span", { class: "explorable-label" }, label, " ", shown);
  return { node: element("label", { class: "explorable-control" }, name, input), input, show };
}

/** A slider whose value may lie between two of its positions: it says the value, not the position. */
export function among({ label, max, at, value, text, onInput }) {
  let now = value;
  const nearest = (wanted) => {
    const distance = (position) => Math.abs(Math.log(at(position) / wanted));
    return [...Array(max + 1).keys()].reduce((best, one) => (distance(one) < distance(best) ? one : best));
  };
  const control = slider({
    label, max, position: nearest(now),
    text: (position) => text(nearest(now) === position ? now : at(position)),
    onInput: (position) => onInput((now = at(position))),
  });
  const show = (wanted) => {
    now = wanted;
    control.show(nearest(now));
  };
  return { ...control, show };
}

export function button(label, onClick) {
  const node = element("button", { type: "button", class: "explorable-button" }, label);
  node.addEventListener("click", onClick);
  return node;
}

/** A labelled native list; `options` are [value, text] pairs. */
export function choice({ label, options, value, onChange }) {
  const list = element(
    "select",
    { class: "explorable-choice" },
    ...options.map(([key, text]) => element("option", { value: key }, text)),
  );
  list.value = value;
  list.addEventListener("change", () => onChange(list.value));
  const name = element("span", { class: "explorable-label" }, label);
  return { node: element("label", { class: "explorable-control" }, name, list), input: list };
}

/** A line of results: what it is, and at its right how much. */
export const heading = (title, text) =>
  element("p", { class: "explorable-line" }, element("span", {}, title), element("strong", {}, text));

/** An address that holds the CSV text itself, so that it opens offline. */
export const csvAddress = (table) => `data:text/csv;charset=utf-8,${encodeURIComponent(table)}`;

/** Link to the numbers behind the figure. */
export function dataLink(table, file, text) {
  const link = element("a", { href: csvAddress(table), download: file }, text);
  return element("p", { class: "explorable-data" }, link);
}

/**
 * A sentence that a screen reader hears once the reader's hand has rested; `further` is heard only, for
 * what is seen elsewhere.
 */
export function spoken() {
  const seen = element("p", { class: "explorable-finding", "aria-hidden": "true" });
  const heard = element("p", { class: "explorable-heard", role: "status" });
  let timer;
  const set = (sentence, further = "") => {
    seen.textContent = sentence;
    clearTimeout(timer);
    timer = setTimeout(() => (heard.textContent = `${sentence} ${further}`.trim()), 400);
  };
  return { nodes: [seen, heard], set, stop: () => clearTimeout(timer) };
}

/** The reader's guess, asked for before anything is shown; `onReveal` when committed. */
export function guessing({ label, reveal, max, position, text, onGuess, onReveal }) {
  const control = slider({ label, max, position, text, onInput: onGuess });
  const asked = element("p", { class: "explorable-question" });
  const parts = [asked, control.node, button(reveal, onReveal)];
  const node = element("div", { class: "explorable-guess" }, ...parts);
  const ask = (question, at) => {
    asked.textContent = question;
    control.show(at);
  };
  return { node, ask };
}

/** Shows the question or, once `shown`, what stands behind it; the focus moves on to `first`. */
export function uncover(shown, guess, behind, first) {
  const hadFocus = guess.contains(guess.getRootNode().activeElement);
  guess.hidden = shown;
  for (const node of behind) node.hidden = !shown;
  if (shown && hadFocus) first.focus();
}

/** Uniform numbers in (0, 1), the same for the same seed (mulberry32). */
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** A standard normal number from two uniform ones (Box and Muller). */
export function normal(random) {
  const radius = Math.sqrt(-2 * Math.log(random()));
  return radius * Math.cos(2 * Math.PI * random());
}

/** A number from `domain` to a place in `range`; logarithmic when asked. */
export function scale(domain, range, log = false) {
  const bent = log ? Math.log : (value) => value;
  const [from, to] = domain.map(bent);
  return (value) => range[0] + ((bent(value) - from) / (to - from)) * (range[1] - range[0]);
}

/**
 * An empty chart at its true width in pixels, so that letters keep their size on a phone.
 * `x` and `y` are { domain, ticks, log, text, label }; `flags` rows are kept free above for the
 * names of upright lines; `left` and `below` are the margins. Returns the svg, two scales, the edges.
 */
export function frame({ width, height, flags, x, y, label, left = roomFor(y), below = 46 }) {
  const edge = { left, right: width - 14, top: 26 + 17 * flags, bottom: height - below };
  const along = scale(x.domain, [edge.left, edge.right], x.log);
  const up = scale(y.domain, [edge.bottom, edge.top], y.log);
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label", label);
  for (const tick of y.ticks) {
    const at = { y1: up(tick), y2: up(tick), x1: edge.left, x2: edge.right };
    svg.append(drawn("line", { ...at, stroke: colour("grid") }));
    svg.append(words(y.text(tick), edge.left - 8, up(tick) + 4, { anchor: "end", muted: true }));
  }
  for (const tick of x.ticks) {
    const at = { x1: along(tick), x2: along(tick), y1: edge.bottom, y2: edge.bottom + 5 };
    svg.append(drawn("line", { ...at, stroke: colour("muted") }));
    svg.append(words(x.text(tick), along(tick), edge.bottom + 19, { anchor: "middle", muted: true }));
  }
  // where nothing is: 0, or the bottom of a log scale
  const ground = y.log ? edge.bottom : up(Math.max(0, y.domain[0]));
  const floor = { x1: edge.left, x2: edge.right, y1: ground, y2: ground };
  svg.append(drawn("line", { ...floor, stroke: colour("muted") }));
  svg.append(words(y.label, 0, 14, { muted: true }));
  svg.append(words(x.label, edge.right, edge.bottom + 39, { anchor: "end", muted: true }));
  return { svg, along, up, edge };
}

// room for the longest number on the upright axis
const roomFor = (y) => 14 + 7.2 * Math.max(...y.ticks.map((tick) => y.text(tick).length));

/** Text in a drawing, with a rim of paper so that a line behind it does not cross it out. */
export function words(text, x, y, { anchor = "start", muted = false, idea, strong } = {}) {
  const fill = colour(idea ?? (muted ? "muted" : "ink"));
  const node = drawn("text", { x, y, fill, "text-anchor": anchor, class: "explorable-words" }, text);
  if (strong) node.setAttribute("font-weight", 600);
  return node;
}

/** An upright line at `x` with its name above the chart, in the flag row counted from below. */
export function flag({ svg, edge }, x, name, row, { idea, ...look }) {
  svg.append(line([[x, edge.top], [x, edge.bottom]], { stroke: colour(idea), ...look }));
  const half = 3.6 * name.length;
  const inside = Math.min(edge.right - half, Math.max(edge.left + half, x));
  svg.append(words(name, inside, edge.top - 7 - 17 * row, { anchor: "middle", idea }));
}

/** The reader's guess: a dotted upright line at `x` with its name. */
export function guessFlag(chart, x, name) {
  flag(chart, x, name, 0, { idea: "memory", ...DOTTED });
}

/** How a reader's guess is drawn. */
export const DOTTED = { "stroke-dasharray": "1 5", "stroke-linecap": "round" };

/** A line through points, [x, y] in pixels. */
export function line(points, attributes) {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  return drawn("path", { d: `M${path}`, fill: "none", "stroke-width": 2, ...attributes });
}

/** Calls `draw(width)` now and whenever the figure's width changes; returns a stop. */
export function whenSized(node, draw) {
  let last = 0;
  const observer = new ResizeObserver(() => {
    const width = Math.floor(node.clientWidth);
    if (width && width !== last) draw((last = width));
  });
  observer.observe(node);
  return () => observer.disconnect();
}
