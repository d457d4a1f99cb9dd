// Images between two, and what two models say to them: one was trained without mixup, one with it. All that they say
// along the line was measured in Python, and comes along in thousandths; here a reader moves the share λ.

import {
  body, button, choice, colour, csvAddress, dataLink, drawn, element, flag, frame, heading, line, percent, say, slider,
  spoken, whenSized, words,
} from "./figure.mjs";

const TEXT = {
  pair: "Two images:",
  both: "{other} and {one}",
  share: "Share of {one}, λ:",
  reset: "Start again",
  seen: "the mixture",
  first: "λ = {share}",
  second: "1 − λ = {rest}",
  images: "{other}, {one}, and between them a mixture: {first} of {one}, {rest} of {other}",
  without: "Without mixup",
  with: "With mixup (α\u00a0=\u00a0{alpha})",
  at: "At λ\u00a0=\u00a0{share}",
  unmixed: "{at} nothing is mixed: the label says {whole}.",
  asked: "{at} mixup asks for {first} {one} and {rest} {other}.",
  says: "{model} the model says {choice} with {sure}; {second} gets {gets}, all others {others}.",
  neither: "{model} the model says {choice}, neither of the two, with {sure}; {one} gets {first}, {other} {rest}.",
  most: "{name}, {share}",
  along: "{model} the first choice is {choices}.",
  always: "{name} all along the line",
  upTo: "{name} up to λ\u00a0=\u00a0{last}",
  onwards: "{name} from {first} on",
  once: "{name} at {first}",
  while: "{name} from {first} to {last}",
  rest: "all others",
  wanted: "what mixup asks for",
  bars: "{model}, at λ = {share}: {bars}",
  chart: "{model}, probabilities along λ, which is {share} now: {one} goes from {from} to {to}, {other} from {leaves} to {stays}",
  axis: "λ, the share of {one}",
  probability: "probability",
  address: "The address of this page holds what you choose, to be kept or shared.",
  data: "What these models say to this pair, as numbers (CSV)",
};

const CHOSEN = ["pair", "share"];
const THOUSAND = 1000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"; // one for each step of grey
const SIDE = 28; // pixels of an image
const FURTHER = 2; // classes besides the two whose bars are drawn
const ROW = 25; // height of a bar with its name
const LOOKS = {
  one: { stroke: colour("convolution"), "stroke-width": 2.5 },
  other: { stroke: colour("convolution"), "stroke-width": 2.5, "stroke-dasharray": "7 4" },
  rest: { stroke: colour("muted"), "stroke-width": 2, "stroke-dasharray": "2 4" },
  wanted: { stroke: colour("muted"), "stroke-width": 1 },
};
const STROKE = { stroke: colour("ink"), "stroke-width": 2 };

// What is chosen. `known` holds the lines between pairs, the shares that were asked, the α and the names of classes.

/** What cannot be: the names of such values. */
export function faults(chosen, { lines, shares }) {
  const right = {
    pair: Number.isInteger(chosen.pair) && chosen.pair >= 0 && chosen.pair < lines.length,
    share: shares.includes(chosen.share),
  };
  return CHOSEN.filter((name) => !right[name]);
}

// The address: #between?pair=2&share=0.35, with what differs from how the figure opened

const MARK = "#between?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${chosen[name]}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const now = { ...opened };
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length)))
    if (CHOSEN.includes(name)) now[name] = value.trim() ? Number(value) : NaN;
  for (const name of faults(now, known)) now[name] = opened[name];
  return now;
}

// What is said

const part = (thousandths) => percent(thousandths / THOUSAND);
const restOf = (share) => Number((1 - share).toFixed(3));
const firstChoice = (said) => said.indexOf(Math.max(...said));
const modelName = (model, { alphas }, text) => (model ? say(text.with, { alpha: alphas[1] }) : text.without);

/** Numbers and names of the two classes, and what a model says to the image at the share. */
function answerOf({ pair, share }, { lines, shares, classes }, model) {
  const { one, other, answers } = lines[pair];
  return { one, other, names: { one: classes[one], other: classes[other] }, said: answers[model][shares.indexOf(share)] };
}

/** What mixup asks for, and what both models say. */
export function sentence(chosen, known, text = TEXT) {
  const { share } = chosen;
  const { one, other, names } = answerOf(chosen, known, 0);
  const at = say(text.at, { share });
  const label =
    share === 0 || share === 1
      ? say(text.unmixed, { at, whole: share ? names.one : names.other })
      : say(text.asked, { at, ...names, first: percent(share), rest: percent(restOf(share)) });
  const told = known.alphas.map((_, model) => {
    const { said } = answerOf(chosen, known, model);
    const first = firstChoice(said);
    const values = { model: modelName(model, known, text), choice: known.classes[first], sure: part(said[first]) };
    if (first !== one && first !== other)
      return say(text.neither, { ...values, ...names, first: part(said[one]), rest: part(said[other]) });
    const second = first === one ? other : one;
    const others = part(THOUSAND - said[first] - said[second]);
    return say(text.says, { ...values, second: known.classes[second], gets: part(said[second]), others });
  });
  return [label, ...told].join(" ");
}

/** Where along the line the first choice of a model changes. */
export function along({ pair }, known, model, text = TEXT) {
  const { lines, shares, classes } = known;
  const runs = [];
  lines[pair].answers[model].forEach((said, place) => {
    const name = classes[firstChoice(said)];
    if (runs.at(-1)?.name !== name) runs.push({ name, first: shares[place] });
    runs.at(-1).last = shares[place];
  });
  const told = runs.map((run, place) => {
    if (runs.length === 1) return say(text.always, run);
    if (place === 0) return say(text.upTo, run);
    if (place === runs.length - 1) return say(text.onwards, run);
    return say(run.first === run.last ? text.once : text.while, run);
  });
  return say(text.along, { model: modelName(model, known, text), choices: told.join(", ") });
}

/** Bars of a model: the two classes with what mixup asks for, the largest others, and all others together. */
export function barsOf(chosen, known, model, text = TEXT) {
  const { one, other, said } = answerOf(chosen, known, model);
  const order = [...said.keys()].filter((named) => named !== one && named !== other);
  const largest = order.sort((a, b) => said[b] - said[a] || a - b).slice(0, FURTHER);
  const bars = [one, other, ...largest].map((named) => ({ name: known.classes[named], size: said[named] }));
  const left = THOUSAND - bars.reduce((sum, { size }) => sum + size, 0);
  bars[0].wanted = chosen.share;
  bars[1].wanted = restOf(chosen.share);
  return [...bars, { name: text.rest, size: left }];
}

/** What both models say to the pair as CSV, a column for each class. */
export function csv(chosen, { lines, shares, alphas, classes }) {
  const { one, other, answers } = lines[chosen.pair];
  const rows = alphas.flatMap((alpha, model) =>
    shares.map((share, place) => {
      const parts = answers[model][place].map((said) => said / THOUSAND);
      return [classes[one], classes[other], alpha, share, ...parts].join() + "\n";
    }),
  );
  return ["one", "other", "alpha", "share", ...classes].join() + "\n" + rows.join("");
}

// What is drawn

const greysOf = (letters) => [...letters].map((letter) => LETTERS.indexOf(letter));

/** An image in ink, one path for each step of grey, with a frame and two lines of words below. */
function photograph(greys, x, side, below) {
  const cell = side / SIDE;
  const squares = new Map();
  greys.forEach((grey, place) => {
    const at = `M${place % SIDE},${Math.floor(place / SIDE)}h1v1h-1z`;
    if (grey) squares.set(grey, (squares.get(grey) ?? "") + at);
  });
  const placed = { transform: `translate(${x} 0) scale(${cell})`, "shape-rendering": "crispEdges", fill: colour("ink") };
  const node = drawn("g", placed);
  for (const [grey, d] of squares) node.append(drawn("path", { d, "fill-opacity": (grey / (LETTERS.length - 1)).toFixed(3) }));
  const rim = { x: x + 0.5, y: 0.5, width: side - 1, height: side - 1, fill: "none", stroke: colour("grid") };
  const told = below.map((one, row) => words(one, x + side / 2, side + 18 + 18 * row, { anchor: "middle", muted: row > 0 }));
  return [node, drawn("rect", rim), ...told];
}

/** The two images, and what lies between them at the share; λ grows to the right, as in the charts. */
function images(chosen, known, { width, text }) {
  const { share } = chosen;
  const [one, other] = known.lines[chosen.pair].images.map(greysOf);
  const { names } = answerOf(chosen, known, 0);
  const mixed = one.map((grey, place) => Math.round(share * grey + (1 - share) * other[place]));
  const side = SIDE * Math.min(6, Math.floor((4 * (width - 36)) / (3 * SIDE)) / 4);
  const svg = drawn("svg", { width, height: side + 42, role: "img" });
  const rest = restOf(share);
  svg.setAttribute("aria-label", say(text.images, { ...names, first: percent(share), rest: percent(rest) }));
  const gap = (width - 1 - 3 * side) / 2; // a pixel is kept, for a width of which a part was rounded up
  const all = [
    [other, names.other, say(text.second, { rest })],
    [mixed, text.seen],
    [one, names.one, say(text.first, { share })],
  ];
  all.forEach(([greys, ...below], place) => svg.append(...photograph(greys, place * (side + gap), side, below)));
  return svg;
}

/** The bars of a model on one scale, 0 to 1, with an upright stroke where mixup's label stands. */
function bars(chosen, known, model, { width, text }) {
  const all = barsOf(chosen, known, model, text);
  const told = all.map(({ name, size }) => `${name} ${part(size)}`).join(", ");
  const svg = drawn("svg", { width, height: ROW * all.length + 8, role: "img" });
  const values = { model: modelName(model, known, text), share: chosen.share, bars: told };
  svg.setAttribute("aria-label", say(text.bars, values));
  const longest = Math.max(...known.classes.map((name) => name.length), text.rest.length);
  const [left, right] = [12 + 7 * longest, width - 56];
  all.forEach(({ name, size, wanted }, row) => {
    const middle = ROW * (row + 0.5);
    const look = { x: left, y: middle - 6, height: 12 };
    svg.append(
      words(name, left - 8, middle + 4.5, { anchor: "end", muted: wanted === undefined }),
      drawn("rect", { ...look, width: right - left, fill: colour("grid"), "fill-opacity": 0.5 }),
      words(part(size), width, middle + 4.5, { anchor: "end" }),
    );
    const idea = wanted === undefined ? "muted" : "convolution";
    if (size) svg.append(drawn("rect", { ...look, width: Math.max(1, ((right - left) * size) / THOUSAND), fill: colour(idea) }));
    if (wanted === undefined) return;
    const x = left + (right - left) * wanted;
    svg.append(line([[x, middle - 10], [x, middle + 10]], STROKE));
  });
  return svg;
}

/** What a model says along the line: to the one class, to the other, to all others together. */
function chart(chosen, known, model, { width, text }) {
  const { one, other, names } = answerOf(chosen, known, model);
  const answers = known.lines[chosen.pair].answers[model];
  const ends = [answers[0], answers.at(-1)];
  const [[from, to], [leaves, stays]] = [one, other].map((named) => ends.map((said) => part(said[named])));
  const made = frame({
    width, height: 226, flags: 1,
    x: { domain: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], text: String, label: say(text.axis, names) },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], text: String, label: text.probability },
    label: say(text.chart, { model: modelName(model, known, text), ...names, share: chosen.share, from, to, leaves, stays }),
  });
  const { svg, up } = made;
  const parts = { rest: (said) => THOUSAND - said[one] - said[other], other: (said) => said[other], one: (said) => said[one] };
  for (const [low, high] of [[0, 1], [1, 0]])
    svg.append(line([[made.along(0), up(low)], [made.along(1), up(high)]], LOOKS.wanted));
  for (const [name, of] of Object.entries(parts)) {
    const points = answers.map((said, place) => [made.along(known.shares[place]), up(of(said) / THOUSAND)]);
    svg.append(line(points, LOOKS[name]));
  }
  flag(made, made.along(chosen.share), say(text.first, chosen), 0, { idea: "ink", "stroke-width": 1 });
  const here = answers[known.shares.indexOf(chosen.share)];
  for (const name of ["other", "one"]) {
    const at = { cx: made.along(chosen.share), cy: up(parts[name](here) / THOUSAND), r: 4.5, stroke: colour("convolution") };
    svg.append(drawn("circle", { ...at, "stroke-width": 2, fill: colour(name === "one" ? "convolution" : "paper") }));
  }
  return made;
}

/** Which line is which. */
function legend({ one, other }, text) {
  return Object.entries({ one, other, rest: text.rest, wanted: text.wanted }).map(([name, told]) => {
    const sample = drawn("svg", { width: 30, height: 8, "aria-hidden": "true" });
    const wanted = name === "wanted"; // which is a line in the charts and a stroke over the bars
    sample.append(line([[0, 4], [wanted ? 20 : 30, 4]], LOOKS[name]));
    if (wanted) sample.append(line([[27, 0], [27, 8]], STROKE));
    return element("span", {}, sample, " ", told);
  });
}

let figures = 0; // on this page: the first one has the address

/** One model's part of the figure: its name, its bars, its chart, and where its first choice changes. */
function column() {
  const [name, told] = [element("div", {}), element("p", { class: "explorable-note" })];
  const [upper, lower] = ["explorable-canvas", "explorable-canvas explorable-drag"].map((look) => element("div", { class: look }));
  return { node: element("div", {}, name, upper, lower, told), name, upper, lower, told };
}

/** A chart that can be dragged; the slider stays the way for keyboard and screen reader. */
function draggable(canvas, edgeOf, move) {
  const at = ({ clientX }) => {
    const { left, right } = edgeOf();
    move((clientX - canvas.getBoundingClientRect().left - left) / (right - left));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    at(event);
  });
  canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && at(event));
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(["lines", "shares", "alphas", "classes"].map((name) => [name, model.get(name)]));
  const { lines, shares, classes } = known;
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, timer, busy, edge] = [0, 0, false, null];

  const namesOf = ({ one, other }) => ({ one: classes[one], other: classes[other] });
  const pair = choice({
    label: text.pair, options: lines.map((one, number) => [String(number), say(text.both, namesOf(one))]),
    value: String(chosen.pair), onChange: (value) => show({ ...chosen, pair: Number(value) }),
  });
  const share = slider({
    label: text.share, max: shares.length - 1, position: shares.indexOf(chosen.share),
    text: (position) => String(shares[position]), onInput: (position) => show({ ...chosen, share: shares[position] }),
  });
  const said = spoken();
  said.nodes[0].classList.add("explorable-answers");
  const photographs = element("div", { class: "explorable-canvas" });
  const columns = known.alphas.map(column);
  const key = element("p", { class: "explorable-legend", "aria-hidden": "true" });
  const link = dataLink(model.get("table"), "between.csv", text.data);

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
    const names = namesOf(lines[chosen.pair]);
    pair.input.value = String(chosen.pair);
    share.show(shares.indexOf(chosen.share));
    share.node.querySelector(".explorable-label").firstChild.data = say(text.share, names);
    photographs.replaceChildren(images(chosen, known, { width, text }));
    columns.forEach(({ name, upper, lower, told }, number) => {
      const room = Math.floor(upper.clientWidth);
      const made = chart(chosen, known, number, { width: room, text });
      edge = made.edge;
      const { said } = answerOf(chosen, known, number);
      const most = firstChoice(said);
      const sure = say(text.most, { name: classes[most], share: part(said[most]) });
      name.replaceChildren(heading(modelName(number, known, text), sure));
      upper.replaceChildren(bars(chosen, known, number, { width: room, text }));
      lower.replaceChildren(made.svg);
      told.textContent = along(chosen, known, number, text);
    });
    key.replaceChildren(...legend(names, text));
    said.set(sentence(chosen, known, text));
    link.firstChild.href = csvAddress(csv(chosen, known));
  };

  /** The share that was asked next to a place along the line. */
  const move = (place) => {
    const near = shares.reduce((best, one) => (Math.abs(one - place) < Math.abs(best - place) ? one : best));
    if (near !== chosen.share) show({ ...chosen, share: near });
  };
  for (const { lower } of columns) draggable(lower, () => edge, move);

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

  const reset = element("div", { class: "explorable-buttons" }, button(text.reset, () => show({ ...opened })));
  el.append(
    body(
      model,
      element("div", { class: "explorable-controls" }, pair.node, reset),
      photographs,
      element("div", { class: "explorable-controls" }, share.node),
      ...said.nodes,
      element("div", { class: "explorable-sheets" }, ...columns.map(({ node }) => node)),
      key,
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
  resized(Math.floor(photographs.clientWidth)); // at once, so that nothing moves once it is seen
  const unsized = whenSized(photographs, resized);
  return () => {
    clearTimeout(timer);
    if (addressed) removeEventListener("hashchange", follow);
    model.off(changes, told);
    said.stop();
    unsized();
  };
}

export default { render };
