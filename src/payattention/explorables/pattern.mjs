// A pattern of attention to choose or to draw: the square of who looks at whom, how far news gets in some layers,
// and the pairs over a text of real length. The rules stand in `rules.mjs`; here a reader moves them.

import {
  among, body, button, choice, colour, csvAddress, dataLink, drawn, element, heading, number, percent, say, slider,
  spoken, whenSized,
} from "./figure.mjs";
import { heardBy, maskOf, packed, pairsOf, settled } from "./rules.mjs";

const TEXT = {
  preset: "Pattern:",
  presets: {
    dense: "dense", window: "window", strided: "strided", fixed: "fixed blocks", global: "window with global tokens",
    random: "random blocks", own: "your own",
  },
  back: "Who may be looked at:",
  past: "the past only",
  both: "both sides",
  sizes: { window: "Window:", strided: "Stride:", fixed: "Block:", global: "Window:", random: "Block:" },
  counts: { fixed: "Open tokens of a block:", global: "Global tokens:", random: "Blocks drawn for each:" },
  one: "1 token",
  many: "{many} tokens",
  again: "Draw other blocks",
  clear: "Clear the square",
  reset: "Start again",
  square: "Square of {tokens} tokens: arrow keys move, the space bar turns a pair on and off",
  cell: "token {row} looks at token {column}",
  draw: "Click squares or drag over them to draw. By keyboard: arrow keys and the space bar.",
  later: "Token {row} may not look at token {column}, which comes later.",
  rows: "rows look at columns",
  strip: "layers until token {token} hears of it",
  stripPlot: "How many layers it takes until token {token} hears of each token: {layers}",
  token: "Token that listens:",
  layers: "Layers:",
  layer: "1 layer",
  severalLayers: "{layers} layers",
  heard: "In {layers} token {token} hears from {whom}.",
  nobody: "nobody",
  onlyItself: "itself",
  all: "all {possible} tokens{end}",
  some: "{many} of the {possible} tokens{end}",
  itself: " up to itself",
  takes: "For all of them it takes {most} layers.",
  noMore: "More layers bring no more.",
  most: "More layers bring no more than {most}.",
  blindOne: "Token {first} looks at nothing: attention has no answer there.",
  blind: "{many} tokens, token {first} first, look at nothing: attention has no answer there.",
  grid: "This square of {tokens} tokens",
  pairs: "{pairs} of {dense} pairs, {share}",
  longTokens: "A text of:",
  longSizes: {
    window: "with a window of:", strided: "with a stride of:", fixed: "in blocks of:", global: "with a window of:",
    random: "in blocks of:",
  },
  rules: {
    dense: "dense attention", window: "a window of {size}", strided: "a stride of {size}",
    fixed: "blocks of {size}, with {count} of each open to all",
    global: "a window of {size}, with {count} open to all", random: "blocks of {size}, with {count} drawn for each",
  },
  long: "Over {tokens} tokens, {rule}",
  longPairs: "{pairs} pairs, {share} of dense",
  noRule: "What is drawn has no rule by which a longer text would go on.",
  faster: "On the clock dense takes {times} times as long.",
  slower: "On the clock it takes {times} times as long as dense.",
  untimed: "This one was not timed.",
  address: "The address of this page holds what you choose and draw, to be kept or shared.",
  data: "What is drawn, as numbers (CSV)",
};

const CHOSEN = ["preset", "size", "count", "back", "seed", "own", "token", "layers", "long_tokens", "long_size"];
const [LEFT, TOP, MOST_CELL] = [26, 42, 20]; // margins of the square, its largest cell

const denseOf = (tokens, back) => (back ? (tokens * (tokens + 1)) / 2 : tokens ** 2);
const sum = (mask) => mask.flat().filter(Boolean).length;

// What is chosen. `known` holds the ranges, the times and the number of tokens.

/** What cannot be: the names of such values. */
export function faults(chosen, { ranges, tokens }) {
  const own = new RegExp(`^([0-9a-f]{${Math.ceil(tokens ** 2 / 4)}})?$`);
  return CHOSEN.filter((name) => {
    const value = chosen[name];
    if (name === "preset") return !Object.hasOwn(TEXT.presets, value);
    if (name === "back") return typeof value !== "boolean";
    if (name === "own") return !own.test(value);
    return !Number.isInteger(value) || value < ranges[name][0] || value > ranges[name][1];
  });
}

// The address: #pattern?preset=strided&size=5, with what differs from how the figure opened

const MARK = "#pattern?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${chosen[name]}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const now = { ...opened };
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length))) {
    if (!CHOSEN.includes(name)) continue;
    const read = { number: () => (value.trim() ? Number(value) : NaN), boolean: () => value === "true" };
    now[name] = (read[typeof opened[name]] ?? (() => value))();
  }
  for (const name of faults(now, known)) now[name] = opened[name];
  return now;
}

// What is said

/** How far news gets, and who looks at nothing. */
export function sentence(mask, { token, layers, back }, text = TEXT) {
  const many = heardBy(mask, token - 1, layers).filter(Boolean).length;
  const ever = heardBy(mask, token - 1, mask.length);
  const most = ever.filter(Boolean).length;
  const possible = back ? token : mask.length;
  const whom = many === 0 ? text.nobody : many < possible ? text.some : possible === 1 ? text.onlyItself : text.all;
  const said = [
    say(text.heard, {
      layers: layers === 1 ? text.layer : say(text.severalLayers, { layers }), token,
      whom: say(whom, { many, possible, end: possible < mask.length ? text.itself : "" }),
    }),
  ];
  if (many < possible && most === possible) said.push(say(text.takes, { most: Math.max(...ever) }));
  else if (many < possible) said.push(say(most > many ? text.most : text.noMore, { most }));
  const blind = [...mask.keys()].filter((i) => !mask[i].includes(true));
  const first = blind[0] + 1;
  if (blind.length) said.push(say(blind.length === 1 ? text.blindOne : text.blind, { many: blind.length, first }));
  return said.join(" ");
}

/** What the rule comes to in the long text: its name, its pairs, and what the clock says. */
export function atLength(chosen, times, text = TEXT) {
  const { preset, back, long_tokens: tokens, long_size: size } = chosen;
  const [dense, pairs] = [denseOf(tokens, back), pairsOf({ ...chosen, size }, tokens)];
  const rule = say(text.rules[preset], settled({ ...chosen, size }));
  const timed = (way) =>
    times.find((one) => one.way === way && one.tokens === tokens && (way === "dense" || [null, size].includes(one.size)));
  const [whole, part] = [timed("dense"), timed(preset)];
  const ratio = back && whole && part ? whole.seconds / part.seconds : null;
  const told = (template, value) => say(template, { times: number(Number(value.toPrecision(2))) });
  let clock = text.untimed;
  if (preset === "dense") clock = "";
  else if (ratio !== null) clock = ratio < 1 ? told(text.slower, 1 / ratio) : told(text.faster, ratio);
  return {
    title: say(text.long, { tokens: number(tokens), rule }),
    result: say(text.longPairs, { pairs: number(pairs), share: percent(pairs / dense) }),
    clock,
  };
}

/** What is drawn as CSV: whom each token looks at, and in how many layers the chosen one hears of it. */
export function csv(mask, { token, layers }) {
  const heard = heardBy(mask, token - 1, layers);
  const seen = (row) => [...row.keys()].filter((j) => row[j]).map((j) => j + 1);
  const rows = mask.map((row, i) => `${i + 1},${seen(row).join(" ")},${heard[i] || ""}\n`);
  return `token,looks_at,heard_in_layers\n${rows.join("")}`;
}

// What is drawn

const label = (text, x, y, look) => drawn("text", { x, y, "font-size": 12, fill: colour("muted"), ...look }, text);
const middle = { "text-anchor": "middle" };

/** The square, in one path for each kind of cell; `cursor` is ringed where the keyboard is. */
function square(mask, { token, back }, { cell, cursor, text }) {
  const side = cell * mask.length;
  const svg = drawn("svg", { width: LEFT + side + 4, height: TOP + side + 4, "aria-hidden": "true" });
  svg.append(label(text.rows, LEFT, 13));
  for (const place of mask.keys()) {
    if (place > 0 && (place + 1) % 8) continue;
    const at = cell * (place + 0.5);
    svg.append(label(place + 1, LEFT - 6, TOP + at + 4, { "text-anchor": "end" }), label(place + 1, LEFT + at, TOP - 7, middle));
  }
  const path = (wanted, look) => {
    const inner = (cell - 1).toFixed(2);
    const cells = mask.flatMap((row, i) =>
      row.map((_, j) =>
        wanted(i, j) ? `M${LEFT + cell * j + 0.5},${TOP + cell * i + 0.5}h${inner}v${inner}h-${inner}z` : "",
      ),
    );
    svg.append(drawn("path", { d: cells.join(""), ...look }));
  };
  path((i, j) => !mask[i][j] && (!back || j <= i), { fill: colour("grid"), "fill-opacity": 0.55 });
  path((i, j) => mask[i][j], { fill: colour("attention"), stroke: colour("attention"), "stroke-width": 0.5 });
  const frame = (i, j, width, look) =>
    svg.append(drawn("rect", { x: LEFT + cell * j, y: TOP + cell * i, width, height: cell, fill: "none", rx: 1, ...look }));
  frame(token - 1, 0, side, { stroke: colour("ink"), "stroke-width": 1.5 });
  if (cursor) {
    frame(...cursor, cell, { stroke: colour("paper"), "stroke-width": 5 });
    frame(...cursor, cell, { stroke: colour("ink"), "stroke-width": 2.5 });
  }
  return svg;
}

/** Below each column, in how many layers the chosen token hears of it. */
function strip(mask, { token, layers }, { cell, text }) {
  const heard = heardBy(mask, token - 1, layers);
  const svg = drawn("svg", { width: LEFT + cell * mask.length + 4, height: 44, role: "img" });
  svg.setAttribute("aria-label", say(text.stripPlot, { token, layers: heard.map((one) => one || "–").join(" ") }));
  heard.forEach((one, j) => {
    const ink = one ? { fill: colour("attention"), "fill-opacity": 0.42 / one + 0.1 } : { fill: colour("grid"), "fill-opacity": 0.55 };
    svg.append(drawn("rect", { x: LEFT + cell * j + 0.5, y: 4, width: cell - 1, height: 18, ...ink }));
    if (one) svg.append(label(one, LEFT + cell * (j + 0.5), 17, { ...middle, fill: colour("ink") }));
  });
  svg.append(label(say(text.strip, { token }), LEFT, 38));
  return svg;
}

let figures = 0; // on this page: the first one has the address

/** Cells for a screen reader and a keyboard, above the drawing: a grid whose focus is one of them. */
function cellsOf(tokens, text) {
  const own = Math.random().toString(36).slice(2); // two figures of a notebook know nothing of each other
  const id = (i, j) => `explorable-pair-${own}-${i}-${j}`;
  const name = say(text.square, { tokens });
  const node = element("div", {
    class: "explorable-cells", role: "grid", tabindex: 0, "aria-label": name, "aria-multiselectable": "true",
  });
  const all = Array.from({ length: tokens }, (_, i) => {
    const row = Array.from({ length: tokens }, (_, j) =>
      element("div", { role: "gridcell", id: id(i, j), "aria-label": say(text.cell, { row: i + 1, column: j + 1 }) }));
    node.append(element("div", { role: "row" }, ...row));
    return row;
  });
  const show = (mask, cursor, cell) => {
    mask.forEach((row, i) => row.forEach((bit, j) => all[i][j].setAttribute("aria-selected", bit)));
    node.setAttribute("aria-activedescendant", id(...cursor));
    const places = { left: LEFT, top: TOP, width: cell * tokens, height: cell * tokens };
    for (const [side, value] of Object.entries(places)) node.style.setProperty(side, `${value}px`);
  };
  return { node, show };
}

/** Drawing by mouse, touch and keyboard: `paint` gets cells, and is told the first one of a stroke. */
function drawing(node, tokens, { paint, move }) {
  let stroke = null;
  const within = (value) => Math.min(tokens - 1, Math.max(0, value));
  const at = ({ clientX, clientY }) => {
    const box = node.getBoundingClientRect();
    const place = (value, from, size) => within(Math.floor(((value - from) / size) * tokens));
    return [place(clientY, box.top, box.height), place(clientX, box.left, box.width)];
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    stroke = { last: at(event), x: event.clientX, y: event.clientY, begun: false };
    move(stroke.last, false);
  });
  node.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const [from, to] = [stroke.last, at(event)];
    const [down, across] = [to[0] - from[0], to[1] - from[1]];
    const steps = Math.max(Math.abs(down), Math.abs(across));
    // a finger that begins by going up or down scrolls the page
    const scrolls = Math.abs(event.clientY - stroke.y) > Math.abs(event.clientX - stroke.x);
    if (!steps || (event.pointerType === "touch" && !stroke.begun && scrolls)) return;
    const line = Array.from({ length: steps + 1 }, (_, k) =>
      [from[0] + Math.round((down * k) / steps), from[1] + Math.round((across * k) / steps)]);
    paint(line, !stroke.begun);
    Object.assign(stroke, { last: to, begun: true });
  });
  node.addEventListener("pointerup", () => {
    if (stroke && !stroke.begun) paint([stroke.last], true);
    stroke = null;
  });
  node.addEventListener("pointercancel", () => (stroke = null));
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -tokens], End: [0, tokens] };
    const step = steps[event.key];
    if (step) move(([i, j]) => [within(i + step[0]), within(j + step[1])], true);
    else if (event.key === " " || event.key === "Enter") paint(null, true);
    else return;
    event.preventDefault();
  });
}

function controls(text, { tokens, ranges }, chosen, set) {
  const tokensText = (many) => (many === 1 ? text.one : say(text.many, { many: number(many) }));
  const move = (name, words) => {
    const [least, most] = ranges[name];
    const control = slider({
      label: text[name] ?? "", max: most - least, position: chosen[name] - least, text: (at) => words(at + least),
      onInput: (at) => set({ [name]: at + least }),
    });
    return { ...control, show: (value) => control.show(value - least) };
  };
  const powers = (name, title) => {
    const [least, most] = ranges[name];
    return among({
      label: title, max: Math.log2(most / least), at: (position) => least * 2 ** position, value: chosen[name],
      text: tokensText, onInput: (value) => set({ [name]: value }),
    });
  };
  return {
    preset: choice({
      label: text.preset, options: Object.entries(text.presets), value: chosen.preset,
      onChange: (preset) => set({ preset }),
    }),
    back: choice({
      label: text.back, options: [["true", text.past], ["false", text.both]], value: String(chosen.back),
      onChange: (value) => set({ back: value === "true" }),
    }),
    size: move("size", tokensText),
    count: move("count", String),
    token: move("token", String),
    layers: move("layers", String),
    long_tokens: powers("long_tokens", text.longTokens),
    long_size: powers("long_size", ""),
  };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(["ranges", "times", "tokens"].map((name) => [name, model.get(name)]));
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, timer, busy, mask, value, note] = [0, 0, false, null, true, ""];
  let [cursor, keyed] = [[chosen.token - 1, chosen.token - 1], false];

  const panel = controls(text, known, chosen, (changes) => {
    const drawnBefore = changes.preset === "own" && !chosen.own;
    show({ ...chosen, ...changes, ...(drawnBefore ? { own: packed(mask) } : {}) });
  });
  const said = spoken();
  const cells = cellsOf(known.tokens, text);
  const [picture, below] = [element("div", {}), element("div", {})];
  const canvas = element("div", { class: "explorable-canvas explorable-drawing" }, picture, cells.node, below);
  const [counted, long, clock] = [element("div", {}), element("div", {}), element("p", { class: "explorable-note" })];
  const link = dataLink(model.get("table"), "pattern.csv", text.data);
  const again = button(text.again, () => show({ ...chosen, seed: (chosen.seed + 1) % (known.ranges.seed[1] + 1) }));
  const clear = button(text.clear, () =>
    show({ ...chosen, preset: "own", own: packed(mask.map((row) => row.map(() => false))) }));

  /** Shows what is chosen now, and keeps it in the model and in the address. */
  const show = (now, further = "") => {
    chosen = now;
    note = further;
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
    const { preset, back } = chosen;
    const { tokens } = known;
    mask = maskOf(chosen, tokens);
    panel.preset.input.value = preset;
    panel.back.input.value = String(back);
    for (const name of ["size", "count", "token", "layers", "long_tokens", "long_size"]) panel[name].show(chosen[name]);
    for (const [name, titles] of [["size", text.sizes], ["count", text.counts], ["long_size", text.longSizes]]) {
      panel[name].node.hidden = !titles[preset];
      panel[name].node.querySelector(".explorable-label").firstChild.data = titles[preset] ?? "";
    }
    again.hidden = preset !== "random";
    const own = preset === "own";
    panel.long_tokens.node.hidden = own;
    drawSquare();
    said.set([sentence(mask, chosen, text), note].filter(Boolean).join(" "));
    const [pairs, dense] = [sum(mask), denseOf(tokens, back)];
    counted.replaceChildren(
      heading(say(text.grid, { tokens }), say(text.pairs, { pairs, dense, share: percent(pairs / dense) })),
    );
    const found = own ? null : atLength(chosen, known.times, text);
    long.replaceChildren(...(found ? [heading(found.title, found.result)] : []));
    clock.textContent = found ? found.clock : text.noRule;
    link.firstChild.href = csvAddress(csv(mask, chosen));
  };

  const drawSquare = () => {
    const cell = Math.min(MOST_CELL, Math.floor((4 * (width - LEFT - 4)) / known.tokens) / 4);
    picture.replaceChildren(square(mask, chosen, { cell, cursor: keyed ? cursor : null, text }));
    below.replaceChildren(strip(mask, chosen, { cell, text }));
    cells.show(mask, cursor, cell);
  };

  /** Turns the cells of a stroke to what the first one was not; `line` null is where the keyboard is. */
  const paint = (line, first) => {
    const stroke = line ?? [cursor];
    if (first) value = !mask[stroke[0][0]][stroke[0][1]];
    cursor = stroke.at(-1);
    const seen = stroke.filter(([i, j]) => !chosen.back || j <= i);
    const [row, column] = cursor.map((place) => place + 1);
    if (!seen.length) return show(chosen, say(text.later, { row, column }));
    for (const [i, j] of seen) mask[i][j] = value;
    show({ ...chosen, preset: "own", own: packed(mask) });
  };

  const move = (where, byKey) => {
    cursor = typeof where === "function" ? where(cursor) : where;
    keyed = byKey;
    drawSquare();
  };
  drawing(cells.node, known.tokens, { paint, move });
  cells.node.addEventListener("focus", () => move(cursor, cells.node.matches(":focus-visible")));
  cells.node.addEventListener("blur", () => move(cursor, false));

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
    if (location.hash.startsWith(MARK)) show(fromAddress(location.hash, opened, known));
  };

  const told = () => {
    if (busy || faults(read(), known).length) return;
    chosen = read();
    draw();
  };

  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  const hint = element("p", { class: "explorable-note" }, text.draw);
  const buttons = element("div", { class: "explorable-buttons" }, again, clear, button(text.reset, () => show({ ...opened })));
  const beside = element("div", {}, panel.size.node, panel.count.node, panel.token.node, panel.layers.node, ...said.nodes, counted, buttons);
  el.append(
    body(
      model,
      rows(panel.preset.node, panel.back.node),
      element("div", { class: "explorable-board" }, element("div", {}, hint, canvas), beside),
      rows(panel.long_tokens.node, panel.long_size.node),
      long,
      clock,
      ...(addressed ? [element("p", { class: "explorable-note" }, text.address)] : []),
      link,
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
