// Weights of the book's GPT left out in the reader's browser: what it then writes, what it needs, what it takes
// on a disk. The arithmetic stands in `pruning.mjs`; until the reader asks for the weights, stored texts are seen.

import {
  body, button, choice, colour, dataLink, drawn, element, flag, frame, line, percent, say, slider, spoken, uniforms,
  whenSized, words,
} from "./figure.mjs";
import { decoder, encode, pick, probabilities, Reading } from "./decoder.mjs";
import { fetched, loading, LOADING } from "./loading.mjs";
import { quantity } from "./quantities.mjs";
import { keepLargest, leftOf, prunable, prunedFile, scoresOf, unpackNorms } from "./pruning.mjs";

const TEXT = {
  ...LOADING,
  offer: "It runs in this browser; “Write” loads it, too.",
  score: "Left out by:",
  magnitude: "magnitude, of all weights",
  wanda: "Wanda, within each row",
  chance: "chance",
  aboutMagnitude: "The smallest weights go first, wherever they stand.",
  aboutWanda: "Size times the norm of what it is multiplied with: in each row, the least go first.",
  aboutChance: "Any weight may go: what the other two have to beat.",
  sparsity: "Weights left out:",
  yours: "Beginning:",
  temperature: "Temperature:",
  seed: "Seed of the draws:",
  write: "Write",
  stop: "Stop",
  again: "Start again",
  whole: "With all weights",
  pruned: "With {share} left out",
  waiting: "“Write” lets the model write here.",
  writing: "The model writes.",
  wrote: "It wrote: {text}",
  key: "Grey is the beginning; coloured is all that comes after the two texts part.",
  nothing: "Nothing is left out: all {many} weights of the blocks are there.",
  left: "With {share} of the {many} weights of the blocks left out {how}, {kept} stay.",
  byMagnitude: "by magnitude",
  byWanda: "by Wanda",
  byChance: "by chance",
  bits: "The model needs {bits} bits for a character of validation text{beside}.",
  near: "At {level} left out, the nearest level measured, the model needs {bits} bits for a character of validation text{beside}.",
  beside: ", and {bits} with all its weights",
  same: "It writes what the whole model writes, all {many} characters.",
  parts: "It writes what the whole model writes for {many} characters, and then something else.",
  partsAtOne: "It writes what the whole model writes for 1 character, and then something else.",
  differs: "From the first character on, it writes something else than the whole model.",
  empty: "Of an empty text nothing follows. Write something.",
  chart: "Bits a character on validation text against the share of weights left out; {share} is marked",
  unmeasured: "No measured bits a character are stored in this figure.",
  axis: "weights left out, %",
  axisBits: "bits a character",
  guessing: "guessing",
  lineMagnitude: "magnitude",
  lineWanda: "Wanda",
  lineChance: "chance",
  guessed: "“Guessing” gives all {many} characters the same chance: {bits} bits.",
  cut: "What needs more than {top} leaves the chart.",
  disk: "On a disk",
  dense: "every weight, 16 bits",
  bitmap: "those that stay, and a bit a place",
  columns: "those that stay, and their columns",
  bytes: "Bytes on a disk: {dense} with every weight, {bitmap} with a bit for each place, {columns} with the number of each one’s column",
  counted: "Counted are the weights of the maps in the blocks, 16 bits each; a column’s number takes 16 bits, where a row begins 32. Embeddings and norms stay whole and are not counted. Nothing runs faster here: a zero is multiplied like any other number.",
  address: "The address of this page holds what you choose, to be kept or shared.",
  data: "The figure’s data (CSV)",
};

const SCORES = { magnitude: "all", wanda: "row", chance: "all" }; // and among which weights each compares
const HOW = { magnitude: "byMagnitude", wanda: "byWanda", chance: "byChance" };
const ABOUT = { magnitude: "aboutMagnitude", wanda: "aboutWanda", chance: "aboutChance" };
const NAMES = { magnitude: "lineMagnitude", wanda: "lineWanda", chance: "lineChance" };
const DASHES = { magnitude: {}, wanda: { "stroke-dasharray": "7 4" }, chance: { "stroke-dasharray": "2 4" } };
const CHOSEN = ["score", "sparsity", "temperature", "seed", "prompt"];
const MOST = { sparsity: 0.99, temperature: 2, seed: 99 };
const MARK = "#pruner?";
const CEILING = 10; // bits; what lies above leaves the chart
const PAUSE = 700; // milliseconds of rest, after which it writes by itself
const AT_ONCE = 4; // characters from one look to the next
const LONGEST = 1000; // of a beginning that an address may hold

// What is chosen

/** What cannot be: the names of such values. */
export function faults(chosen) {
  return CHOSEN.filter((name) => {
    const value = chosen[name];
    if (name === "score") return !Object.hasOwn(SCORES, value);
    if (name === "prompt") return typeof value !== "string" || value.length > LONGEST;
    return !(value >= 0 && value <= MOST[name]) || (name === "seed" && !Number.isInteger(value));
  });
}

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${encodeURIComponent(chosen[name])}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened) {
  if (!fragment.startsWith(MARK)) return opened;
  const now = { ...opened };
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length).replaceAll("+", "%2B"))) {
    if (!CHOSEN.includes(name)) continue;
    now[name] = typeof opened[name] !== "number" ? value : value.trim() ? Number(value) : NaN;
  }
  now.sparsity = Math.round(100 * now.sparsity) / 100; // the slider knows whole per cent
  for (const name of faults(now)) now[name] = opened[name];
  return now;
}

// What is said

/** Measured bits of a score, [share left out, bits], the least left out first. */
const measured = (curve, score) =>
  curve
    .filter((row) => row.score === score)
    .map(({ sparsity, bits }) => [sparsity, bits])
    .sort(([one], [other]) => one - other);

const apart = (one, other) => Number(Math.abs(one - other).toFixed(6));

/** How many weights stay, and the bits that were measured there, as Python says it. */
export function sentence({ score, sparsity }, { sizes, curve }, text = TEXT) {
  const { many, kept } = leftOf(prunable(sizes), sparsity, SCORES[score]);
  const counts = { many: many.toLocaleString("en"), kept: kept.toLocaleString("en") };
  const said = [
    say(sparsity ? text.left : text.nothing, { ...counts, share: percent(sparsity), how: text[HOW[score]] }),
  ];
  const points = measured(curve, score);
  if (points.length) {
    const [level, bits] = points.reduce((best, one) => (apart(one[0], sparsity) < apart(best[0], sparsity) ? one : best));
    const whole = points[0][0] === 0 && level > 0;
    const beside = whole ? say(text.beside, { bits: points[0][1].toFixed(2) }) : "";
    const template = apart(level, sparsity) ? text.near : text.bits;
    said.push(say(template, { level: percent(level), bits: bits.toFixed(2), beside }));
  }
  return said.join(" ");
}

/** How many characters two texts begin with alike. */
export function agreeing(one, other) {
  let many = 0;
  while (many < Math.min(one.length, other.length) && one[many] === other[many]) many++;
  return many;
}

/** How far what was written goes with what the whole model wrote, as Python says it. */
export function parting(whole, pruned, text = TEXT) {
  const many = agreeing(whole, pruned);
  if (many === whole.length && many === pruned.length) return say(text.same, { many });
  return many ? say(many === 1 ? text.partsAtOne : text.parts, { many }) : text.differs;
}

// What is written

/** The next character again and again, from the same draws for the same seed; `null` where nothing can follow. */
export function pen(file, ids, temperature, seed) {
  const [reading, read, random] = [new Reading(decoder(file)), [...ids], uniforms(seed)];
  return () => {
    const { logits } = reading.follow(read);
    if (!logits) return null;
    const id = pick(probabilities(logits, temperature), random());
    read.push(id);
    return id;
  };
}

/** The file without the weights that are left out. */
export function without(file, { score, sparsity }, norms) {
  if (!sparsity) return file;
  const scores = scoresOf(file, score, norms);
  return prunedFile(file, keepLargest(scores, prunable(file.shape), sparsity, SCORES[score]));
}

// What is drawn

/** A page of text: its beginning, what both have written, and what this one alone has. */
function sheet() {
  const label = element("p", { class: "explorable-label" });
  const parts = ["muted", "same", "own"].map((part) => element("span", { class: `explorable-written-${part}` }));
  const text = element("div", { class: "explorable-written", role: "group", tabindex: 0 }, ...parts);
  const show = (name, begun, written, alike) => {
    label.textContent = name;
    text.setAttribute("aria-label", name);
    const texts = [begun, written.slice(0, alike), written.slice(alike)];
    parts.forEach((part, i) => part.textContent !== texts[i] && (part.textContent = texts[i]));
  };
  return { node: element("div", {}, label, text), show };
}

/** The points up to where they leave the chart, and there the place where they do. */
function clipped(points) {
  const leaves = points.findIndex(([, bits]) => bits > CEILING);
  if (leaves < 0) return points;
  if (leaves === 0) return [];
  const [[x, y], [beyond, height]] = [points[leaves - 1], points[leaves]];
  return [...points.slice(0, leaves), [x + ((beyond - x) * (CEILING - y)) / (height - y), CEILING]];
}

function chart({ score, sparsity }, { curve, vocabulary }, { width, text }) {
  const bits = curve.map((row) => row.bits);
  const guessing = Math.log2(vocabulary.length);
  const top = Math.ceil(Math.min(CEILING, Math.max(...bits, guessing) + 0.01));
  const floor = Math.floor(Math.min(...bits));
  const ticks = Array.from({ length: top - floor + 1 }, (_, i) => floor + i).filter((tick) => tick % 2 === 0);
  const share = percent(sparsity);
  const made = frame({
    width, height: Math.round(Math.min(300, 210 + width / 12)), flags: 1,
    x: { domain: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], text: (tick) => String(100 * tick), label: text.axis },
    y: { domain: [floor, top], ticks, text: String, label: text.axisBits },
    label: say(text.chart, { share }),
  });
  const { svg, along, up, edge } = made;
  const place = ([x, y]) => [along(x), up(y)];
  const guess = [[0, guessing], [1, guessing]].map(place);
  svg.append(line(guess, { stroke: colour("muted"), "stroke-width": 1 }));
  svg.append(words(text.guessing, edge.left + 6, up(guessing) - 5, { muted: true }));
  for (const one of Object.keys(SCORES).sort((a, b) => (a === score) - (b === score))) {
    const idea = one === score ? "memory" : "muted";
    const points = clipped(measured(curve, one));
    if (points.length) svg.append(line(points.map(place), { stroke: colour(idea), ...DASHES[one] }));
  }
  flag(made, along(sparsity), share, 0, { idea: "ink", "stroke-width": 1 });
  const here = measured(curve, score).find(([level, bits]) => !apart(level, sparsity) && bits <= CEILING);
  if (here) {
    const [cx, cy] = place(here);
    svg.append(drawn("circle", { cx, cy, r: 5, fill: colour("memory"), stroke: colour("paper") }));
  }
  return made;
}

/** Which line is which. */
function legend(score, text) {
  return Object.keys(SCORES).map((one) => {
    const idea = one === score ? "memory" : "muted";
    const sample = drawn("svg", { width: 30, height: 8, "aria-hidden": "true" });
    sample.append(line([[0, 4], [30, 4]], { stroke: colour(idea), ...DASHES[one] }));
    return element("span", {}, sample, " ", text[NAMES[one]]);
  });
}

/** What a disk holds, in three forms: bars on one scale. */
function disk({ score, sparsity }, sizes, { width, text }) {
  const [left, all] = [sparsity, 0].map((share) => leftOf(prunable(sizes), share, SCORES[score]));
  const rows = ["dense", "bitmap", "columns"].map((form) => [text[form], left[form], quantity(left[form], "bytes")]);
  const longest = Math.max(all.dense, all.bitmap, all.columns); // so that the bars keep their scale
  const svg = drawn("svg", { width, height: 40 * rows.length - 4, role: "img" });
  const [dense, bitmap, columns] = rows.map((row) => row[2]);
  svg.setAttribute("aria-label", say(text.bytes, { dense, bitmap, columns }));
  rows.forEach(([name, size, amount], row) => {
    const y = 40 * row;
    svg.append(words(name, 0, y + 14, { muted: true }), words(amount, width, y + 14, { anchor: "end" }));
    const bar = { x: 0, y: y + 20, width: Math.max(1, (width * size) / longest).toFixed(1), height: 10 };
    svg.append(drawn("rect", { ...bar, fill: colour("memory"), "fill-opacity": row ? 1 : 0.45 }));
  });
  return svg;
}

let figures = 0; // on this page; the address is the first one's

function controls(text, chosen, set) {
  const score = choice({
    label: text.score,
    options: Object.keys(SCORES).map((one) => [one, text[one]]),
    value: chosen.score,
    onChange: (value) => set({ score: value }),
  });
  const move = (name, label, max, steps, shown) =>
    slider({
      label, max, position: Math.round(steps * chosen[name]), text: shown,
      onInput: (position) => set({ [name]: position / steps }),
    });
  return {
    score,
    sparsity: move("sparsity", text.sparsity, 99, 100, (position) => percent(position / 100)),
    temperature: move("temperature", text.temperature, 20, 10, (position) => (position / 10).toFixed(1)),
    seed: move("seed", text.seed, MOST.seed, 1, String),
  };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(["sizes", "curve", "stored"].map((name) => [name, model.get(name)]));
  const vocabulary = [...model.get("vocabulary")];
  const [wanted, many] = [model.get("weights"), model.get("characters")];
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  const absent = !model.send && !wanted.on_pages;
  let chosen = { ...opened };
  let [file, norms, busy, width] = [null, null, false, 0];
  let texts = null; // what was written: { whole, pruned }, without the beginning
  let ofWhole = {}; // what the whole model wrote, and for what: it need not write it again
  let [writer, rest, keeper] = [0, 0, 0]; // timers: of the writing, of the pause before it, of the address

  const panel = controls(text, chosen, (changes) => choose({ ...chosen, ...changes }));
  const box = element("textarea", { class: "explorable-text explorable-beginning", rows: 2, spellcheck: "false" });
  box.value = chosen.prompt;
  const about = element("p", { class: "explorable-note explorable-short" });
  const met = element("p", { class: "explorable-note explorable-short" });
  const said = spoken();
  said.nodes[0].classList.add("explorable-long");
  const [whole, pruned] = [sheet(), sheet()];
  const [canvas, bytes] = [element("div", { class: "explorable-canvas" }), element("div", { class: "explorable-canvas" })];
  const names = element("p", { class: "explorable-legend", "aria-hidden": "true" });
  const below = element("p", { class: "explorable-note" });
  const link = dataLink(model.get("table"), "pruner.csv", text.data);

  /** The beginning as the model reads it: without the characters that it does not know. */
  const begun = () => encode(chosen.prompt, vocabulary);

  /** What the whole model's text depends on. */
  const cause = () => JSON.stringify([chosen.prompt, chosen.temperature, chosen.seed]);

  /** Texts that Python has stored for just what is chosen. */
  const kept = () => {
    const { samples, ...asked } = known.stored;
    const alike = Object.keys(asked).every((name) => asked[name] === chosen[name]);
    const at = (level) => samples.find(([one]) => !apart(one, level))?.[1].slice(asked.prompt.length);
    if (!alike || !at(chosen.sparsity)) return null;
    ofWhole = { cause: cause(), text: at(0) };
    return { whole: at(0), pruned: at(chosen.sparsity) };
  };

  const show = () => {
    const beginning = begun().ids.map((id) => vocabulary[id]).join("");
    whole.show(text.whole, beginning, texts?.whole ?? (ofWhole.cause === cause() ? ofWhole.text : ""), Infinity);
    const name = say(text.pruned, { share: percent(chosen.sparsity) });
    if (texts) pruned.show(name, beginning, texts.pruned, agreeing(texts.whole, texts.pruned));
    else pruned.show(name, file || absent ? beginning : text.waiting, "", 0);
  };

  const tell = () => {
    const found = sentence(chosen, known, text);
    if (!begun().ids.length) return said.set(text.empty);
    if (writer) return said.set(`${found} ${text.writing}`);
    if (!texts) return said.set(found);
    const further = file ? say(text.wrote, { text: texts.pruned }) : "";
    const asFar = texts.whole.slice(0, texts.pruned.length); // it may have been stopped
    said.set(chosen.sparsity && asFar ? `${found} ${parting(asFar, texts.pruned, text)}` : found, further);
  };

  const draw = () => {
    if (!width) return;
    panel.score.input.value = chosen.score;
    panel.sparsity.show(Math.round(100 * chosen.sparsity));
    panel.temperature.show(Math.round(10 * chosen.temperature));
    panel.seed.show(chosen.seed);
    if (box.value !== chosen.prompt) box.value = chosen.prompt;
    const { unknown } = begun();
    const characters = unknown.join(" ");
    met.textContent = say(unknown.length ? text.unmet : text.met, { characters, many: vocabulary.length });
    if (known.curve.length) {
      canvas.replaceChildren(chart(chosen, { ...known, vocabulary }, { width, text }).svg);
      names.replaceChildren(...legend(chosen.score, text));
    }
    const over = known.curve.some(({ bits }) => bits > CEILING);
    const values = { many: vocabulary.length, bits: Math.log2(vocabulary.length).toFixed(2), top: CEILING };
    const notes = known.curve.length ? [text.guessed, ...(over ? [text.cut] : [])] : [text.unmeasured];
    below.textContent = say(notes.join(" "), values);
    about.textContent = text[ABOUT[chosen.score]];
    bytes.replaceChildren(disk(chosen, known.sizes, { width, text }));
    show();
    tell();
  };

  // Writing

  const halt = () => {
    clearTimeout(writer);
    clearTimeout(rest);
    writer = 0;
    on.textContent = text.write;
  };

  /** Both models write, some characters from one look to the next, until there are enough. */
  const begin = () => {
    const { ids } = begun();
    if (!ids.length) return;
    on.textContent = text.stop;
    texts = { whole: ofWhole.cause === cause() ? ofWhole.text : "", pruned: "" };
    writer = setTimeout(() => {
      norms ??= unpackNorms(model.get("norms"), file.shape);
      const [{ temperature, seed }, of] = [chosen, cause()];
      const pens = [["pruned", without(file, chosen, norms)], ["whole", file]]
        .filter(([which]) => texts[which].length < many)
        .map(([which, one]) => [which, pen(one, ids, temperature, seed)]);
      const onward = () => {
        for (let i = 0; i < AT_ONCE && texts.pruned.length < many; i++)
          for (const [which, next] of pens) texts[which] += vocabulary[next()];
        if (texts.pruned.length < many) writer = setTimeout(onward);
        else {
          halt();
          ofWhole = { cause: of, text: texts.whole };
        }
        show();
        if (!writer) tell();
      };
      onward();
    });
    show();
    tell();
  };

  /** Whether the model is here, once it has come or has failed to. */
  const ensure = async () => {
    if (file || absent) return Boolean(file);
    const start = performance.now();
    const hadFocus = load.ask === load.ask.getRootNode().activeElement;
    load.show("coming");
    if (hadFocus) on.focus();
    try {
      file = await fetched(model, text, load.progress);
    } catch (error) {
      load.show("still", say(text.failed, { reason: error.message }));
      return false;
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    load.show("here", say(text.loaded, { parameters: known.sizes.parameters.toLocaleString("en"), seconds }));
    return true;
  };

  const start = async () => {
    halt();
    if ((await ensure()) && !writer) begin();
  };

  /** Shows what is chosen now, keeps it in the model and in the address, and soon lets the model write. */
  const choose = (now) => {
    halt();
    chosen = now;
    texts = kept();
    busy = true;
    for (const name of CHOSEN) if (name !== "prompt") model.set(name, chosen[name]); // the kernel takes no other letters
    busy = false;
    model.save_changes();
    if (addressed) {
      clearTimeout(keeper);
      keeper = setTimeout(keep, 300); // a browser allows only so many changes of the address in a row
    }
    if (file && !texts) rest = setTimeout(start, PAUSE);
    draw();
  };

  const keep = () => {
    const fragment = toAddress(chosen, opened);
    if (fragment === location.hash || (!fragment && !location.hash.startsWith(MARK))) return;
    try {
      history.replaceState(history.state, "", fragment || location.pathname + location.search);
    } catch {
      // an address that may not be changed is none to share
    }
  };

  const follow = () => {
    if (location.hash.startsWith(MARK)) choose(fromAddress(location.hash, opened));
  };

  const told = () => {
    const now = { ...read(), prompt: chosen.prompt };
    if (!busy && !faults(now).length) choose(now);
  };

  const load = loading(text, wanted, start);
  const on = button(text.write, () => {
    if (!writer) return start();
    halt();
    tell();
  });
  on.style.minWidth = "5.5em"; // two names, one width
  const again = button(text.again, () => choose({ ...opened }));
  box.addEventListener("input", () => choose({ ...chosen, prompt: box.value }));
  if (absent) {
    load.show("here", text.absent);
    box.readOnly = on.disabled = true;
  }

  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  const yours = element("span", { class: "explorable-label" }, text.yours);
  el.append(
    body(
      model,
      load.node,
      rows(element("div", {}, panel.score.node, about), panel.sparsity.node),
      element("label", { class: "explorable-control" }, yours, box),
      met,
      rows(panel.temperature.node, panel.seed.node),
      element("div", { class: "explorable-buttons" }, on, again),
      ...said.nodes,
      element("div", { class: "explorable-sheets" }, whole.node, pruned.node),
      element("p", { class: "explorable-note" }, text.key),
      canvas,
      names,
      below,
      element("p", { class: "explorable-label" }, text.disk),
      bytes,
      element("p", { class: "explorable-note" }, text.counted),
      ...(addressed ? [element("p", { class: "explorable-note" }, text.address)] : []),
      link,
    ),
  );

  const changes = CHOSEN.map((name) => `change:${name}`).join(" ");
  model.on(changes, told);
  texts = kept();
  if (addressed) {
    addEventListener("hashchange", follow);
    follow();
  }
  const resized = (now) => {
    width = now;
    draw();
  };
  resized(Math.floor(bytes.clientWidth)); // at once, so that nothing moves once it is seen
  const unsized = whenSized(bytes, resized);
  return () => {
    halt();
    clearTimeout(keeper);
    if (addressed) removeEventListener("hashchange", follow);
    model.off(changes, told);
    said.stop();
    unsized();
  };
}

export default { render };
