// A text, each character on a ground and a bar that tell through how many layers it went until a door was sure enough.
// All of it was measured in Python, at some thresholds, and comes along in digits and letters; here a reader moves the
// threshold and looks at characters.

import {
  body, button, choice, colour, csvAddress, dataLink, drawn, element, frame, heading, line, percent, say, slider,
  spoken, whenSized, words,
} from "./figure.mjs";

const TEXT = {
  passage: "A passage:",
  threshold: "Sure enough at:",
  reset: "Start again",
  hint: "A stronger ground and a higher bar: more layers; ¶ ends a line. Choose a character: click, tap, or arrow keys.",
  text: "{name}: {many} characters and their layers; arrow keys choose one",
  cell: "{character}, {layers}",
  layer: "1 layer",
  layers: "{many} layers",
  counted: "{layers}: {many}",
  space: "space",
  end: "line end",
  quoted: "“{character}”",
  aSpace: "a space",
  anEnd: "a line end",
  onlySpace: "A space",
  empty: "The empty line",
  spaceBehind: "The space behind “{word}”",
  endBehind: "The line end behind “{word}”",
  of: "{character} of “{word}”",
  behind: "{character} behind “{word}”",
  front: "{character} in front of “{word}”",
  foretold: "{bits} bits, first choice {said}",
  character: "{where}, after {depth} of {layers} layers: {here}. The whole model: {whole}.",
  at: "Sure enough at {threshold}",
  share: "{share} of the whole model’s operations",
  mean: "{bits} bits a character",
  nobody: "{at}: nobody leaves. The doors come on top: {share}, for {mean}; the whole model needs {whole}.",
  summary:
    "{at}: {deep} of {layers} layers on average. With doors, and keys and values owed, that is {share}, for {mean}; the whole model needs {whole}.",
  by: "Layers on average: {kinds}.",
  kinds: ["names", "first letters", "further letters", "spaces and line ends", "other marks"],
  curve:
    "From a threshold of {low} to one of {high} the operations go from {least} to {most} of the whole model’s, and the bits a character from {from} to {to}.",
  lineLayers: "Layers a character",
  lineOf: "{deep} of {layers}",
  lineFlops: "Operations, of the whole model’s",
  lineBits: "Bits a character",
  beside: "{bits}; whole model {whole}",
  paid: "Operations count the doors that were asked, and keys and values owed to the layers behind.",
  axis: "operations, of the whole model’s",
  bits: "bits a character",
  chosen: "sure enough at {threshold}",
  whole: "the whole model",
  address: "The address of this page holds what you choose, to be kept or shared.",
  data: "The characters of this passage at this threshold, as numbers (CSV)",
};

const CHOSEN = ["passage", "threshold", "place"];
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"; // two for hundredths of a bit
const LINE_END = "¶";
const WORD = /[A-Za-z]+(?:['-][A-Za-z]+)*/g;

// What is chosen. `known` holds the passages, the thresholds and how many layers there are.

/** What cannot be: the names of such values. */
export function faults(chosen, { passages, thresholds }) {
  const inside = (value, end) => Number.isInteger(value) && value >= 0 && value < end;
  const there = inside(chosen.passage, passages.length);
  const right = {
    passage: there,
    threshold: thresholds.includes(chosen.threshold),
    place: there && inside(chosen.place, passages[chosen.passage].text.length),
  };
  return CHOSEN.filter((name) => !right[name]);
}

/** What is chosen, with a place that the passage has. */
export function settled(chosen, { passages }) {
  return { ...chosen, place: Math.min(chosen.place, passages[chosen.passage].text.length - 1) };
}

// The address: #depths?passage=1&threshold=0.9&place=12, with what differs from how the figure opened

const MARK = "#depths?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${chosen[name]}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const asked = {};
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length)))
    if (CHOSEN.includes(name)) asked[name] = value.trim() ? Number(value) : NaN;
  let now = { ...opened };
  for (const name of CHOSEN) {
    if (!(name in asked)) continue;
    const next = { ...now, [name]: asked[name] };
    if (!faults(next, known).includes(name)) now = name === "passage" ? settled(next, known) : next;
  }
  return now;
}

// What was read

const nowOf = ({ passage }, { passages }) => passages[passage];
const readOf = (chosen, known) => nowOf(chosen, known).read[known.thresholds.indexOf(chosen.threshold)];
const hundredthsAt = (bits, at) => LETTERS.indexOf(bits[2 * at]) * LETTERS.length + LETTERS.indexOf(bits[2 * at + 1]);

function meanOfBits(bits) {
  const many = bits.length / 2;
  let sum = 0;
  for (let at = 0; at < many; at++) sum += hundredthsAt(bits, at);
  return sum / (100 * many);
}

const meanBits = (bits) => meanOfBits(bits).toFixed(2);
const bitsAt = (bits, at) => (hundredthsAt(bits, at) / 100).toFixed(2);
const mean = (digits) => (digits.reduce((sum, one) => sum + Number(one), 0) / digits.length).toFixed(1);

// What is said

const named = (character, text) => ({ " ": text.space, "\n": text.end })[character] ?? character;
const quotedSign = (character, text) =>
  ({ " ": text.aSpace, "\n": text.anEnd })[character] ?? say(text.quoted, { character });
const layersSaid = (many, text) => (many === 1 ? text.layer : say(text.layers, { many }));

/** A character and the word to which it belongs. */
export function standing(passage, place, text = TEXT) {
  const character = passage[place];
  if (character === " " || character === "\n") {
    const word = /\S+$/.exec(passage.slice(0, place))?.[0];
    if (word === undefined) return character === " " ? text.onlySpace : text.empty;
    return say(character === " " ? text.spaceBehind : text.endBehind, { word });
  }
  const start = passage.lastIndexOf("\n", place) + 1;
  const found = [...passage.slice(start).split("\n", 1)[0].matchAll(WORD)].map((match) => ({
    word: match[0], from: start + match.index, to: start + match.index + match[0].length,
  }));
  const shown = quotedSign(character, text);
  const around = found.find(({ from, to }) => from <= place && place < to);
  if (around) return say(text.of, { character: shown, word: around.word });
  const before = found.findLast(({ to }) => to <= place);
  if (before) return say(text.behind, { character: shown, word: before.word });
  return found.length ? say(text.front, { character: shown, word: found[0].word }) : shown;
}

/** The chosen character: its layers, its bits and what was thought likeliest, here and by the whole model. */
export function sentence(chosen, known, text = TEXT) {
  const [now, read, at] = [nowOf(chosen, known), readOf(chosen, known), chosen.place];
  const told = ({ bits, said }) => say(text.foretold, { bits: bitsAt(bits, at), said: quotedSign(said[at], text) });
  return say(text.character, {
    where: standing(now.text, at, text), depth: read.depths[at], layers: known.layers, here: told(read),
    whole: told(now.whole),
  });
}

/** Layers, operations and bits of the passage at the threshold. */
export function summary(chosen, known, text = TEXT) {
  const [now, read] = [nowOf(chosen, known), readOf(chosen, known)];
  const depths = [...read.depths];
  const all = depths.every((depth) => Number(depth) === known.layers);
  return say(all ? text.nobody : text.summary, {
    at: say(text.at, chosen), deep: mean(depths), layers: known.layers,
    share: say(text.share, { share: percent(read.share) }),
    mean: say(text.mean, { bits: meanBits(read.bits) }), whole: meanBits(now.whole.bits),
  });
}

/** Mean layers for each kind of character that there is. */
export function byPlace(chosen, known, text = TEXT) {
  const [now, read] = [nowOf(chosen, known), readOf(chosen, known)];
  const kinds = text.kinds.map((name, kind) => {
    const depths = [...read.depths].filter((_, at) => Number(now.places[at]) === kind);
    return depths.length ? `${name} ${mean(depths)}` : "";
  });
  return say(text.by, { kinds: kinds.filter(Boolean).join(", ") });
}

/** How operations and bits move together, from end to end. */
export function curve(chosen, known, text = TEXT) {
  const { read } = nowOf(chosen, known);
  const [first, last] = [read[0], read.at(-1)];
  return say(text.curve, {
    low: known.thresholds[0], high: known.thresholds.at(-1), least: percent(first.share), most: percent(last.share),
    from: meanBits(first.bits), to: meanBits(last.bits),
  });
}

/** How many characters went through 1, 2, ... layers. */
export function counts(chosen, known) {
  const { depths } = readOf(chosen, known);
  return Array.from({ length: known.layers }, (_, layer) => depths.split(String(layer + 1)).length - 1);
}

/** The characters of the passage at the threshold as CSV. */
export function csv(chosen, known, text = TEXT) {
  const [now, read] = [nowOf(chosen, known), readOf(chosen, known)];
  const cell = (character) => (character === "," ? '","' : named(character, text));
  const rows = [...now.text].map((character, at) => {
    const told = ({ bits, said }) => [bitsAt(bits, at), cell(said[at])];
    return [chosen.threshold, at, cell(character), read.depths[at], ...told(read), ...told(now.whole)].join() + "\n";
  });
  return "threshold,place,character,layers,bits,says,whole_bits,whole_says\n" + rows.join("");
}

// What is drawn

/** Bits against operations at all thresholds of the passage; the chosen one stands out. */
function chart(chosen, known, { width, text }) {
  const now = nowOf(chosen, known);
  const points = now.read.map(({ share, bits }) => [share, meanOfBits(bits)]);
  const whole = meanOfBits(now.whole.bits);
  const x = axis(points.map(([share]) => share), 0.25);
  const y = axis([whole, ...points.map(([, bits]) => bits)], 0.5);
  const made = frame({
    width, height: 236, flags: 1,
    x: { ...x, text: percent, label: text.axis },
    y: { ...y, text: (bits) => bits.toFixed(1), label: text.bits },
    label: curve(chosen, known, text),
  });
  const { svg, along, up, edge } = made;
  const floor = up(whole);
  svg.append(
    line([[edge.left, floor], [edge.right, floor]], { stroke: colour("muted"), "stroke-dasharray": "6 4" }),
    words(text.whole, edge.left + 4, floor - 6, { muted: true }),
  );
  const drawnAt = points.map(([share, bits]) => [along(share), up(bits)]);
  svg.append(line(drawnAt, { stroke: colour("time") }));
  for (const [cx, cy] of drawnAt) svg.append(drawn("circle", { cx, cy, r: 3.5, fill: colour("time") }));
  const [cx, cy] = drawnAt[known.thresholds.indexOf(chosen.threshold)];
  const name = say(text.chosen, chosen);
  const inside = Math.min(edge.right - 3.6 * name.length, Math.max(edge.left + 3.6 * name.length, cx));
  svg.append(
    line([[cx, edge.top], [cx, cy]], { stroke: colour("ink"), "stroke-width": 1 }),
    words(name, inside, edge.top - 7, { anchor: "middle" }),
    drawn("circle", { cx, cy, r: 6, fill: colour("time"), stroke: colour("ink"), "stroke-width": 2 }),
  );
  return { ...made, places: drawnAt.map(([at]) => at) };
}

/** An axis with ticks at multiples of a step, which begins at one, and ends a little behind the values. */
function axis(values, step) {
  const low = Math.floor(Math.min(...values) / step) * step;
  const high = Math.max(...values) + step / 4;
  const many = Math.floor((high - low) / step) + 1;
  return { domain: [low, high], ticks: Array.from({ length: many }, (_, count) => low + step * count) };
}

/** Gives a node the ground and the bar of a character that went through so many layers. */
function tint(node, depth, layers) {
  node.style.setProperty("--ground", `${(6 + (42 * (depth - 1)) / Math.max(layers - 1, 1)).toFixed(1)}%`);
  node.style.setProperty("--bar", `${((6 * depth) / layers).toFixed(2)}px`);
}

/** The passage, a cell for each character; arrow keys choose among them. */
function sheet(text, known, choose) {
  const node = element("div", { class: "explorable-depths", role: "grid" });
  let [shown, cells, at] = [-1, [], 0];

  const build = (now) => {
    cells = [...now.text].map((character, place) => {
      const cell = element("span", { role: "gridcell" }, character === "\n" ? LINE_END : character);
      cell.addEventListener("click", () => choose(place));
      return cell;
    });
    const rows = [];
    cells.forEach((cell, place) => {
      // an empty line stands behind the line before it, as its mark
      if (!place || (now.text[place - 1] === "\n" && now.text[place] !== "\n")) rows.push(element("div", { role: "row" }));
      rows.at(-1).append(cell);
    });
    node.replaceChildren(...rows);
    node.setAttribute("aria-label", say(text.text, { name: now.name, many: now.text.length }));
  };

  /** The cell that is nearest in the line above or below, as it is broken on the page. */
  const beside = (down) => {
    const boxes = cells.map((cell) => cell.getBoundingClientRect());
    const { top, left } = boxes[at];
    const apart = (box) => (down ? box.top - top : top - box.top);
    const further = boxes.map((box, place) => ({ box, place })).filter(({ box }) => apart(box) > box.height / 2);
    if (!further.length) return at;
    const nearest = Math.min(...further.map(({ box }) => apart(box)));
    const row = further.filter(({ box }) => apart(box) < nearest + box.height / 2);
    return row.reduce((best, one) => (Math.abs(one.box.left - left) < Math.abs(best.box.left - left) ? one : best)).place;
  };

  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = cells[at].parentNode.children;
    const to = {
      ArrowLeft: () => at - 1, ArrowRight: () => at + 1, ArrowUp: () => beside(false), ArrowDown: () => beside(true),
      Home: () => cells.indexOf(row[0]), End: () => cells.indexOf(row[row.length - 1]), " ": () => at, Enter: () => at,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    choose(Math.min(cells.length - 1, Math.max(0, to())));
    cells[at].focus();
  });

  const show = (chosen) => {
    const [now, read] = [nowOf(chosen, known), readOf(chosen, known)];
    const focused = node.contains(node.getRootNode().activeElement);
    const built = chosen.passage !== shown;
    if (built) build(now);
    [shown, at] = [chosen.passage, chosen.place];
    cells.forEach((cell, place) => {
      const depth = Number(read.depths[place]);
      tint(cell, depth, known.layers);
      const layers = layersSaid(depth, text);
      cell.setAttribute("aria-label", say(text.cell, { character: named(now.text[place], text), layers }));
      cell.setAttribute("aria-selected", place === at);
      cell.tabIndex = place === at ? 0 : -1; // the text is one stop of the tab key
    });
    if (built && focused) cells[at].focus();
  };
  return { node, show };
}

/** How many characters went through each number of layers. */
function legend(chosen, known, text) {
  return counts(chosen, known).map((many, layer) => {
    const sample = element("span", { class: "explorable-depth" });
    tint(sample, layer + 1, known.layers);
    const told = say(text.counted, { layers: layersSaid(layer + 1, text), many });
    return element("li", {}, sample, told);
  });
}

let figures = 0; // on this page: the first one has the address

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(["passages", "thresholds", "layers"].map((name) => [name, model.get(name)]));
  const { passages, thresholds } = known;
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, timer, busy, made, summed] = [0, 0, false, null, summary(opened, known, text)];

  const change = (changes) => show(settled({ ...chosen, ...changes }, known));
  const passage = choice({
    label: text.passage, options: passages.map(({ name }, number) => [String(number), name]),
    value: String(chosen.passage), onChange: (value) => change({ passage: Number(value) }),
  });
  const threshold = slider({
    label: text.threshold, max: thresholds.length - 1, position: thresholds.indexOf(chosen.threshold),
    text: (position) => String(thresholds[position]), onInput: (position) => change({ threshold: thresholds[position] }),
  });
  const letters = sheet(text, known, (place) => change({ place }));
  const said = spoken();
  said.nodes[0].classList.add("explorable-depth-told");
  const key = element("ul", { class: "explorable-parts explorable-depth-key" });
  const lines = element("div", {});
  const canvas = element("div", { class: "explorable-canvas explorable-drag" });
  const kinds = element("p", { class: "explorable-note" });
  const link = dataLink(model.get("table"), "depths.csv", text.data);

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

  const results = () => {
    const [now, here] = [nowOf(chosen, known), readOf(chosen, known)];
    const deep = say(text.lineOf, { deep: mean([...here.depths]), layers: known.layers });
    return [
      heading(text.lineLayers, deep),
      heading(text.lineFlops, percent(here.share)),
      heading(text.lineBits, say(text.beside, { bits: meanBits(here.bits), whole: meanBits(now.whole.bits) })),
    ];
  };

  const draw = () => {
    if (!width) return;
    passage.input.value = String(chosen.passage);
    threshold.show(thresholds.indexOf(chosen.threshold));
    letters.show(chosen);
    key.replaceChildren(...legend(chosen, known, text));
    lines.replaceChildren(...results());
    made = chart(chosen, known, { width, text });
    canvas.replaceChildren(made.svg);
    kinds.textContent = byPlace(chosen, known, text);
    const now = summary(chosen, known, text);
    said.set(sentence(chosen, known, text), now === summed ? "" : now);
    summed = now;
    link.firstChild.href = csvAddress(csv(chosen, known, text));
  };

  // the chart moves the threshold as well; the slider stays the way for keyboard and screen reader
  const drag = ({ clientX }) => {
    const x = clientX - canvas.getBoundingClientRect().left;
    const apart = (number) => Math.abs(made.places[number] - x);
    const nearest = thresholds.map((_, number) => number).reduce((best, one) => (apart(one) < apart(best) ? one : best));
    if (thresholds[nearest] !== chosen.threshold) change({ threshold: thresholds[nearest] });
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag(event);
  });
  canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && drag(event));

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

  const note = (told) => element("p", { class: "explorable-note" }, told);
  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  el.append(
    body(
      model,
      rows(passage.node, threshold.node),
      letters.node,
      key,
      note(text.hint),
      ...said.nodes,
      element("div", { class: "explorable-sheets" }, element("div", {}, lines, note(text.paid)), canvas),
      kinds,
      rows(button(text.reset, () => show({ ...opened }))),
      ...(addressed ? [note(text.address)] : []),
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
