// The bill of a model: parameters, operations, memory, least time, energy and money, by part. What is computed
// stands in `cost.mjs`; here a reader chooses, and sees it.

import {
  among, body, button, choice, colour, csvAddress, dataLink, drawn, element, flag, frame, heading, line, percent,
  say, slider, spoken, whenSized, words,
} from "./figure.mjs";
import { amount, dollarsText, quantity } from "./quantities.mjs";
import { bill, crossoverTokens, grouped, longer, peak, readingOperations, total } from "./cost.mjs";

const TEXT = {
  model: "Model:",
  work: "What is done with it:",
  use: "it is used",
  train: "it is trained",
  tokens: "Length:",
  batch: "At a time:",
  sizes: "Sizes of the model",
  layers: "Layers",
  d_model: "Width (d_model)",
  heads: "Heads",
  kv_heads: "Key heads (kv_heads)",
  d_ff: "Inner width (d_ff)",
  vocab: "Vocabulary (vocab)",
  accelerator: "On:",
  dtype: "Numbers in:",
  utilisation: "Share of its limit that is reached:",
  trained_tokens: "Tokens trained on in all:",
  stored_scores: "keep the scores for the backward pass",
  checkpointing: "keep only the input of each block (checkpointing)",
  reset: "Start again",
  address: "The address of this page holds what you choose, to be kept or shared.",
  wrong: "expected a whole number from {least} to {most}",
  divides: "{value} does not divide {name}, {whole}",
  noTraining: "expected a model that writes",
  noWhole: "whole numbers have no gradients; expected a float",
  noRate: "{name} has no rate for it; there are {rates}",
  parameters: "Parameters",
  reading: "Reading: operations",
  writing: "Writing one more token: operations",
  step: "A training step: operations",
  needed: "{flops} are needed (the thin bar): the rest is arrows that the mask hides.",
  noMask: "It looks both ways: all arrows are needed.",
  beyond: "It knows no more than {context} places; the bill goes on as if it did.",
  shares: "Share of the operations for reading, by length",
  plot: "Shares of the operations against the length: the arrows take {share} at {tokens}; they equal all maps of a block at {crossover} tokens",
  length: "tokens",
  here: "here {tokens}",
  crossover: "arrows = maps at {tokens}",
  memory: "Memory",
  free: "free",
  fits: "{share} of the {memory} of one {name}.",
  fitsNot: "More than one {name} has: {many} of them would hold it.",
  time: "{what}: least time",
  timeReading: "Reading",
  timeWriting: "One more token for each text",
  timeStep: "A training step",
  part: "{part} ({rule})",
  rest: "the rest",
  computing: "computing",
  fetching: "fetching",
  spent: "At {share} of its limit, on one {name}",
  million_read_spent: "a million tokens read",
  imagesRead: "a million images seen",
  million_written_spent: "a million tokens written",
  training_spent: "{tokens} tokens trained on",
  seconds: "time",
  joules: "electricity",
  co2e_kilograms: "CO₂e",
  water_litres: "water",
  dollars: "rent",
  noPrice: "no price known",
  source: "{name}: {source}.",
  price: "Rent, ${dollars} an hour: {source}.",
  attention: "projections",
  logits: "vocabulary",
  "input and output": "vocabulary",
  inputSees: "patches and classes",
  inputReads: "pooler",
  token: "{many} token",
  manyTokens: "{many} tokens",
  textsOne: "1 text",
  textsMany: "{many} texts",
  imagesOne: "1 image",
  imagesMany: "{many} images",
  finding: "{model} reads {texts} of {tokens} in {flops} operations, {share} of them for the arrows. From {crossover} tokens on they take more than all maps of a block.",
  trained: "{model} learns from {texts} of {tokens} in {flops} operations a step, {share} of them for the arrows. From {crossover} tokens on they take more than all maps of a block.",
  changed: "{model}, changed,",
  operations: "{flops} operations",
  toPay: "to pay",
  payment: "{flops}",
  smallFinding: "{share} for the arrows. From {crossover} tokens on they take more than all maps of a block.",
  smallBill: "operations to read {tokens}",
  data: "All lines of the bill (CSV)",
};

const SIZES = ["layers", "d_model", "heads", "kv_heads", "d_ff", "vocab"];
const CHOSEN = [
  "model", ...SIZES, "tokens", "batch", "work", "dtype", "accelerator", "utilisation", "trained_tokens",
  "stored_scores", "checkpointing",
];
const [TO_A_DOUBLING, BATCHES] = [4, 12]; // slider positions: of the length, and one to a doubling of texts
const LOOK = { // idea and ink of each part; what has less than full ink keeps a rim
  "feed-forward": ["feed-forward", 1],
  projections: ["attention", 0.3],
  "input and output": ["muted", 1],
  arrows: ["attention", 1],
  weights: ["memory", 1],
  cache: ["attention", 1],
  gradients: ["memory", 0.6],
  optimiser: ["memory", 0.35],
  activations: ["memory", 0.12],
  scores: ["attention", 1],
  computing: ["time", 1],
  fetching: ["memory", 1],
  free: ["grid", 0.6],
};

// Numbers in words

const texts = (many, does, text) =>
  does === "sees" ? counted(many, text.imagesOne, text.imagesMany) : counted(many, text.textsOne, text.textsMany);
const counted = (many, one, more) => say(many === 1 ? one : more, { many: many.toLocaleString("en") });

/** The bill as CSV: whole numbers digit by digit while that is exact, others to ten digits. */
export function csv(lines) {
  const exact = (value) =>
    Number.isInteger(value) && value < 2 ** 53 ? String(value) : value.toExponential(9).replace("e+", "e");
  const rows = Object.entries(lines).flatMap(([name, parts]) =>
    Object.entries(parts).map(([part, value]) => `${name},${part},${exact(value)}\n`),
  );
  return `line,part,value\n${rows.join("")}`;
}

// What is chosen, and whether it can be billed. `chosen` holds what `CHOSEN` names, `known` the figure's data.

// not what every object has: an address may ask for a model named "constructor"
const entry = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);
const whole = (value, most, least = 1) => Number.isInteger(value) && value >= least && value <= most;

/** What cannot be: field -> why. Nothing, if all of it can be billed. */
export function faults(chosen, known, text = TEXT) {
  const [found, { models, accelerators, bits, most }] = [{}, known];
  const model = entry(models, chosen.model);
  const on = entry(accelerators, chosen.accelerator);
  if (!model) found.model = Object.keys(models).join();
  if (!on) found.accelerator = Object.keys(accelerators).join();
  if (!entry(bits, chosen.dtype)) found.dtype = Object.keys(bits).join();
  for (const name of [...SIZES, "tokens", "batch", "trained_tokens"]) {
    const least = name === "tokens" && model?.does === "sees" ? 2 : 1;
    if (!whole(chosen[name], most[name], least))
      found[name] = say(text.wrong, { least, most: most[name].toLocaleString("en") });
  }
  if (!["use", "train"].includes(chosen.work)) found.work = "use, train";
  if (!(chosen.utilisation > 0 && chosen.utilisation <= 1)) found.utilisation = "0 to 1";
  if (Object.keys(found).length) return found;
  const divides = (name, of, width) => {
    if (width % chosen[name] === 0) return true;
    found[name] = say(text.divides, { value: chosen[name], name: of, whole: width.toLocaleString("en") });
  };
  if (divides("heads", "d_model", chosen.d_model)) divides("kv_heads", "heads", chosen.heads);
  if (chosen.work === "train" && model.does !== "writes") found.work = text.noTraining;
  if (chosen.work === "train" && chosen.dtype.startsWith("int")) found.dtype = text.noWhole;
  else if (!peak(on, chosen.dtype, bits)) {
    const rates = Object.keys(on.flops_per_second).join(", ");
    found.dtype = say(text.noRate, { name: on.name, rates });
  }
  return found;
}

/** What follows a change: another model brings its sizes and its length, and what cannot stay gives way. */
export function changed(chosen, changes, known) {
  const now = { ...chosen, ...changes };
  const model = entry(known.models, now.model);
  const on = entry(known.accelerators, now.accelerator);
  if (changes.model !== undefined && model) {
    for (const name of SIZES) now[name] = changes[name] ?? model.shape[name];
    now.tokens = changes.tokens ?? model.shape.context;
    if (model.does !== "writes" && changes.work === undefined) now.work = "use";
  }
  // heads that all have keys of their own keep them
  if (changes.heads !== undefined && changes.kv_heads === undefined && chosen.kv_heads === chosen.heads)
    now.kv_heads = changes.heads;
  const rates = Object.keys(on?.flops_per_second ?? {});
  const gives = changes.dtype === undefined;
  if (gives && now.work === "train" && now.dtype.startsWith("int")) now.dtype = rates[0];
  if (gives && rates.length && !peak(on, now.dtype, known.bits))
    now.dtype = rates[0];
  return now;
}

/** The question that `bill` answers. */
export function asked(chosen, { models, accelerators, bits, place }) {
  const { does, d_input, shape } = models[chosen.model];
  const sizes = Object.fromEntries(SIZES.map((name) => [name, chosen[name]]));
  const on = accelerators[chosen.accelerator];
  return { ...chosen, does, d_input, shape: { ...shape, ...sizes }, accelerator: on, bits, place };
}

// The address: #bill?model=gpt3&tokens=4096, with what differs from how the figure opened

const MARK = "#bill?";
const own = (chosen, { models }) => ({ ...models[chosen.model].shape, tokens: models[chosen.model].shape.context });

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened, known) {
  const asModel = chosen.model === opened.model ? opened : { ...opened, ...own(chosen, known) };
  const kept = CHOSEN.filter((name) =>
    name === "model" ? chosen.model !== opened.model : chosen[name] !== asModel[name],
  );
  const entries = kept.map((name) => `${name}=${encodeURIComponent(chosen[name])}`);
  return entries.length ? MARK + entries.join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const changes = {};
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length))) {
    if (!CHOSEN.includes(name)) continue;
    const kind = typeof opened[name];
    if (kind === "boolean" && !["true", "false"].includes(value)) continue;
    changes[name] = kind === "number" ? (value.trim() ? Number(value) : NaN) : kind === "boolean" ? value === "true" : value;
  }
  for (;;) {
    const wrong = Object.keys(faults(changed(opened, changes, known), known)).filter((name) => name in changes);
    if (!wrong.length) break;
    for (const name of wrong) delete changes[name];
  }
  const now = changed(opened, changes, known);
  return Object.keys(faults(now, known)).length ? opened : now;
}

// What is drawn

/** A native field for a whole number, and what is wrong with it. */
function field({ label, id, most, onInput }) {
  const input = element("input", {
    type: "number", min: 1, max: most, step: 1, inputmode: "numeric", class: "explorable-number",
  });
  const error = element("span", { class: "explorable-error", id });
  input.addEventListener("input", () => onInput(input.value.trim() === "" ? NaN : Number(input.value)));
  const name = element("span", { class: "explorable-label" }, label);
  const show = (value, wrong) => {
    // not under the hand that is typing
    if (!wrong && Number(input.value) !== value) input.value = value;
    tell(input, error, wrong);
  };
  return { node: element("label", { class: "explorable-control" }, name, input, error), show };
}

function tell(input, error, wrong = "") {
  error.textContent = wrong;
  if (wrong) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", error.id);
  } else for (const name of ["aria-invalid", "aria-describedby"]) input.removeAttribute(name);
}

function tick({ label, onChange }) {
  const input = element("input", { type: "checkbox" });
  input.addEventListener("change", () => onChange(input.checked));
  return { node: element("label", { class: "explorable-tick" }, input, " ", label), input };
}

function piece(name, x, y, width, height) {
  const [idea, ink] = LOOK[name];
  const rim = ink < 1 ? 0.5 : 0;
  const size = { x: x + rim, y: y + rim, width: Math.max(width - 2 * rim, 0.5), height: height - 2 * rim };
  const look = ink < 1 ? { "fill-opacity": ink, stroke: colour(idea) } : {};
  return drawn("rect", { ...size, fill: colour(idea), ...look });
}

/** A stacked bar of [look, size] pairs, as wide as `most`, or as all of them, would be. */
function bar(parts, { width, height = 20, most = 0 }) {
  const svg = drawn("svg", { width, height, "aria-hidden": "true", class: "explorable-stack" });
  const all = Math.max(most, parts.reduce((sum, [, size]) => sum + size, 0));
  let x = 0;
  for (const [look, size] of parts) {
    const wide = (width * size) / all;
    // a gap of one pixel between two parts, while there is room for it
    if (size) svg.append(piece(look, x, 0, Math.max(wide - 1, Math.min(wide, 0.5)), height));
    x += wide;
  }
  return svg;
}

/** The names of a bar's parts, each with its colour and what it takes: [look, name, text]. */
function key(parts) {
  const item = ([look, name, text]) => {
    const swatch = drawn("svg", { width: 12, height: 12, "aria-hidden": "true" });
    swatch.append(piece(look, 0, 0, 12, 12));
    return element("li", {}, swatch, ` ${name} `, element("span", { class: "explorable-value" }, text));
  };
  return element("ul", { class: "explorable-parts" }, ...parts.map(item));
}

const partName = (part, does, text) => {
  if (part === "input and output" && does !== "writes") return does === "sees" ? text.inputSees : text.inputReads;
  return text[part] ?? part;
};

function operations(title, executed, needed, { does, width, text }) {
  const parts = Object.entries(grouped(executed)).filter(([, flops]) => flops);
  const all = total(executed);
  const nodes = [
    heading(title, say(text.operations, { flops: amount(all) })),
    bar(parts, { width }),
  ];
  if (needed && does === "writes")
    nodes.push(bar(Object.entries(grouped(needed)), { width, height: 7, most: all }));
  const named = ([part, flops]) => [part, partName(part, does, text), `${amount(flops)}, ${percent(flops / all)}`];
  nodes.push(key(parts.map(named)));
  if (needed) {
    const note = does === "writes" ? say(text.needed, { flops: amount(total(needed)) }) : text.noMask;
    nodes.push(element("p", { class: "explorable-note" }, note));
  }
  return nodes;
}

function memory({ held_bytes: held }, on, { width, text }) {
  const all = total(held);
  const parts = Object.entries(held);
  const free = Math.max(0, on.memory_bytes - all);
  const svg = bar([...parts, ["free", free]], { width });
  const many = Math.ceil(all / on.memory_bytes);
  if (many > 1) {
    const x = ((width * on.memory_bytes) / all).toFixed(1);
    svg.append(drawn("path", { d: `M${x},0v20`, stroke: colour("paper"), "stroke-width": 4 }));
    svg.append(drawn("path", { d: `M${x},0v20`, stroke: colour("ink"), "stroke-width": 2 }));
  }
  const room = { memory: quantity(on.memory_bytes, "bytes"), share: percent(all / on.memory_bytes) };
  const note = say(many > 1 ? text.fitsNot : text.fits, { name: on.name, many: amount(many), ...room });
  return [
    heading(text.memory, quantity(all, "bytes")),
    svg,
    key(parts.map(([part, size]) => [part, partName(part, "", text), quantity(size, "bytes")])),
    element("p", { class: "explorable-note" }, note),
  ];
}

function leastTime(what, title, lines, { does, width, text }) {
  const [computing, fetching] = ["computing", "fetching"].map((rule) => lines[`${what}_${rule}_seconds`]);
  const least = longer({ computing, fetching });
  const all = total(least);
  const rule = (part) => (fetching[part] > computing[part] ? "fetching" : "computing");
  const large = Object.keys(least).filter((part) => least[part] >= 0.02 * all);
  const entries = large.map((part) => {
    const name = say(text.part, { part: partName(part, does, text), rule: text[rule(part)] });
    return [rule(part), name, quantity(least[part], "seconds")];
  });
  const rest = all - large.reduce((sum, part) => sum + least[part], 0);
  if (rest > 1e-9 * all) entries.push(["free", text.rest, quantity(rest, "seconds")]);
  const parts = [...large.map((part) => [rule(part), least[part]]), ["free", rest]];
  return [heading(say(text.time, { what: title }), quantity(all, "seconds")), bar(parts, { width }), key(entries)];
}

const SHOWN = { // unit and its words, of what time takes
  seconds: (value) => quantity(value, "seconds"),
  joules: (value) => quantity(value / 3.6e6, "kilowatt_hours"),
  co2e_kilograms: (value) => quantity(value, "kilograms"),
  water_litres: (value) => quantity(value, "litres"),
  dollars: (value) => `$${dollarsText(value)}`,
};

function spentTable(lines, chosen, { does, on, text }) {
  const columns = Object.keys(lines).filter((line) => line.endsWith("_spent"));
  const title = (line) => {
    if (line === "million_read_spent" && does === "sees") return text.imagesRead;
    return say(text[line], { tokens: amount(chosen.trained_tokens) });
  };
  const head = element("tr", {}, element("td", {}), ...columns.map((line) => element("th", { scope: "col" }, title(line))));
  const rows = Object.entries(SHOWN).map(([name, shown]) => {
    const cells = columns.map((line) =>
      element("td", {}, name in lines[line] ? shown(lines[line][name]) : text.noPrice),
    );
    return element("tr", {}, element("th", { scope: "row" }, text[name]), ...cells);
  });
  const caption = say(text.spent, { share: percent(chosen.utilisation), name: on.name });
  return element(
    "table",
    { class: "explorable-spent" },
    element("caption", {}, caption),
    element("thead", {}, head),
    element("tbody", {}, ...rows),
  );
}

/** Shares of the operations against the length, stacked, with the reader's length and the crossover. */
function shares(question, { width, text }) {
  const { does, shape, tokens } = question;
  const most = 2 ** 20;
  const crossover = crossoverTokens(shape, false);
  const at = (n) => {
    const flops = grouped(readingOperations({ ...question, tokens: n }, false));
    return Object.fromEntries(Object.entries(flops).map(([part, count]) => [part, count / total(flops)]));
  };
  const said = {
    share: percent(at(tokens).arrows),
    tokens: counted(tokens, text.token, text.manyTokens),
    crossover: amount(Math.round(crossover)),
  };
  const chart = frame({
    width,
    height: Math.round(Math.min(280, 190 + width / 8)),
    flags: 2,
    x: {
      domain: [1, most], ticks: [1, 32, 1024, 32768, most], log: true, label: text.length,
      text: (n) => (n === most ? "1M" : n >= 1024 ? `${n / 1024}k` : String(n)),
    },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], text: percent, label: "" },
    label: say(text.plot, said),
  });
  const { svg, along, up, edge } = chart;
  const least = does === "sees" ? 2 : 1;
  const lengths = Array.from({ length: 81 }, (_, i) => Math.max(least, Math.round(2 ** (i / 4))));
  const columns = lengths.map((n) => [along(n), at(n)]);
  let under = columns.map(() => 0);
  for (const part of Object.keys(columns[0][1])) {
    const over = columns.map(([, all], i) => under[i] + all[part]);
    const rim = (heights) => columns.map(([x], i) => `${x.toFixed(1)},${up(heights[i]).toFixed(1)}`);
    const [idea, ink] = LOOK[part];
    const look = { fill: colour(idea), "fill-opacity": ink, stroke: colour(ink < 1 ? idea : "paper"), "stroke-width": 1 };
    svg.append(drawn("path", { d: `M${rim(over).join("L")}L${rim(under).reverse().join("L")}z`, ...look }));
    under = over;
  }
  const mark = (n, name, row, look) => {
    if (n > most) return;
    const x = along(n);
    svg.append(line([[x, edge.top], [x, edge.bottom]], { stroke: colour("paper"), "stroke-width": 5 }));
    flag(chart, x, name, row, look);
  };
  mark(crossover, say(text.crossover, { tokens: said.crossover }), 1, { idea: "attention", "stroke-dasharray": "5 4" });
  mark(tokens, say(text.here, { tokens: tokens.toLocaleString("en") }), 0, { idea: "ink" });
  return chart;
}

// A slider's positions

const lengthAt = (position) => Math.round(2 ** (position / TO_A_DOUBLING));
const trainedAt = (position) => [1, 1.5, 2, 3, 5, 7][position % 6] * 10 ** (6 + Math.floor(position / 6));

const lengthSlider = (label, value, most, text, onInput) =>
  among({
    label, at: lengthAt, value, onInput,
    max: TO_A_DOUBLING * Math.round(Math.log2(most)),
    text: (many) => counted(many, text.token, text.manyTokens),
  });

// The small form: two sliders, one bar, a receipt

function renderSmall({ model, el }, text, known) {
  const names = Object.keys(known.models);
  const canvas = element("div", { class: "explorable-canvas" });
  const rows = element("div", {});
  const said = spoken();
  said.nodes[0].classList.add("explorable-told");
  const link = dataLink(model.get("table"), "bill.csv", text.data);
  const chosenNow = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    model.save_changes();
    draw();
  };
  const which = slider({
    label: text.model,
    max: names.length - 1,
    position: names.indexOf(model.get("model")),
    text: (position) => known.models[names[position]].name,
    onInput: (position) => {
      const name = names[position];
      const { model: _, ...sizes } = changed(chosenNow(), { model: name, tokens: model.get("tokens") }, known);
      set({ ...Object.fromEntries(SIZES.map((size) => [size, sizes[size]])), model: name });
    },
  });
  const length = lengthSlider(text.tokens, model.get("tokens"), known.most.tokens, text, (tokens) => set({ tokens }));
  let width = 0;
  const draw = () => {
    if (!width || Object.keys(faults(chosenNow(), known, text)).length) return;
    const question = asked(chosenNow(), known);
    const executed = readingOperations(question, false);
    const [parts, all] = [grouped(executed), total(executed)];
    which.show(names.indexOf(model.get("model")));
    length.show(model.get("tokens"));
    canvas.replaceChildren(bar(Object.entries(parts), { width, height: 26 }));
    const entries = Object.entries(parts).map(([part, flops]) => [part, partName(part, "writes", text), amount(flops)]);
    const pays = heading(text.toPay, say(text.payment, { flops: amount(all) }));
    pays.classList.add("explorable-pay");
    const tokens = counted(question.tokens, text.token, text.manyTokens);
    const below = element("p", { class: "explorable-note" }, say(text.smallBill, { tokens }));
    const list = key(entries);
    list.classList.add("explorable-receipt");
    rows.replaceChildren(list, pays, below);
    const crossover = amount(Math.round(crossoverTokens(question.shape, false)));
    said.set(say(text.smallFinding, { share: percent(parts.arrows / all), crossover }));
    link.firstChild.href = csvAddress(csv(bill(question)));
  };
  const root = body(model, length.node, which.node, canvas, rows, ...said.nodes, link);
  root.classList.add("explorable-quiet");
  el.append(root);
  const changes = CHOSEN.map((name) => `change:${name}`).join(" ");
  model.on(changes, draw);
  const unsized = whenSized(canvas, (now) => {
    width = now;
    draw();
  });
  return () => {
    model.off(changes, draw);
    said.stop();
    unsized();
  };
}

// The whole form

let figures = 0; // on this page: the first one has the address, and ids are a figure's own

function controls(text, known, chosen, set, number, does) {
  const listed = (entries) => Object.entries(entries).map(([name, one]) => [name, one.name ?? one]);
  const pick = (name, options) =>
    choice({ label: text[name], options, value: chosen[name], onChange: (value) => set({ [name]: value }) });
  const panel = {
    model: pick("model", listed(known.models)),
    work: pick("work", [["use", text.use], ["train", text.train]]),
    accelerator: pick("accelerator", listed(known.accelerators)),
    dtype: pick("dtype", Object.keys(known.bits).map((name) => [name, name])),
    tokens: lengthSlider(text.tokens, chosen.tokens, known.most.tokens, text, (tokens) => set({ tokens })),
    batch: among({
      label: text.batch, max: BATCHES, at: (position) => 2 ** position, value: chosen.batch,
      text: (many) => texts(many, does(), text), onInput: (batch) => set({ batch }),
    }),
    utilisation: slider({
      label: text.utilisation, max: 100, position: Math.round(100 * chosen.utilisation),
      text: (position) => percent(position / 100), onInput: (position) => set({ utilisation: position / 100 }),
    }),
    trained_tokens: among({
      label: text.trained_tokens, max: 54, at: trainedAt, value: chosen.trained_tokens,
      text: amount, onInput: (trained_tokens) => set({ trained_tokens }),
    }),
    ...Object.fromEntries(
      ["stored_scores", "checkpointing"].map((name) => [
        name, tick({ label: text[name], onChange: (value) => set({ [name]: value }) }),
      ]),
    ),
  };
  panel.utilisation.input.min = 1;
  const fields = SIZES.map((name) => [
    name,
    field({
      label: text[name], id: `explorable-bill-${number}-${name}`, most: known.most[name],
      onInput: (value) => set({ [name]: value }),
    }),
  ]);
  for (const name of ["dtype", "work"]) {
    panel[name].error = element("span", { class: "explorable-error", id: `explorable-bill-${number}-${name}` });
    panel[name].node.append(panel[name].error);
  }
  return { ...panel, fields };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(
    ["models", "accelerators", "bits", "most", "place"].map((name) => [name, model.get(name)]),
  );
  if (model.get("small")) return renderSmall({ model, el }, text, known);
  const number = ++figures;
  const opened = Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const addressed = !model.send && number === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, chart, timer, busy] = [0, null, 0, false];

  const set = (changes) => {
    chosen = changed(chosen, changes, known);
    show();
  };

  const panel = controls(text, known, chosen, set, number, () => known.models[chosen.model].does);
  const said = spoken();
  said.nodes[0].classList.add("explorable-told");
  const canvas = element("div", { class: "explorable-canvas explorable-drag" });
  const above = element("div", {});
  const below = element("div", {});
  const noted = element("p", { class: "explorable-note" });
  const link = dataLink(model.get("table"), "bill.csv", text.data);

  /** Shows what was chosen, and keeps it in the model and in the address, if it can be billed. */
  const show = () => {
    const wrong = faults(chosen, known, text);
    const fine = !Object.keys(wrong).length;
    showControls(wrong);
    for (const node of [above, canvas, below]) node.classList.toggle("explorable-stale", !fine);
    if (!fine) {
      said.set(Object.entries(wrong).map(([name, why]) => `${(text[name] ?? name).replace(/:$/, "")}: ${why}.`).join(" "));
      return;
    }
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

  const showControls = (wrong) => {
    const { does } = known.models[chosen.model];
    for (const name of ["model", "work", "accelerator", "dtype"]) panel[name].input.value = chosen[name];
    for (const name of ["dtype", "work"]) tell(panel[name].input, panel[name].error, wrong[name]);
    for (const name of ["tokens", "batch", "trained_tokens"]) panel[name].show(chosen[name]);
    panel.utilisation.show(Math.round(100 * chosen.utilisation));
    for (const name of ["stored_scores", "checkpointing"]) panel[name].input.checked = chosen[name];
    for (const [name, field] of panel.fields) field.show(chosen[name], wrong[name]);
    panel.work.node.hidden = does !== "writes";
    for (const name of ["trained_tokens", "stored_scores", "checkpointing"])
      panel[name].node.hidden = chosen.work !== "train";
  };

  const draw = () => {
    if (!width || Object.keys(faults(chosen, known, text)).length) return;
    const question = asked(chosen, known);
    const lines = bill(question);
    const { does, shape } = question;
    const on = question.accelerator;
    const setting = { does, width, text };
    const training = chosen.work === "train";
    const executed = training ? lines.step_executed_flops : lines.reading_executed_flops;
    const needed = training ? lines.step_needed_flops : lines.reading_needed_flops;
    above.replaceChildren(
      heading(text.parameters, amount(total(lines.parameters))),
      ...operations(training ? text.step : text.reading, executed, needed, setting),
      ...(lines.writing_flops ? operations(text.writing, lines.writing_flops, null, setting) : []),
      element("p", { class: "explorable-line" }, element("span", {}, text.shares)),
    );
    chart = shares(question, setting);
    canvas.replaceChildren(chart.svg);
    const far = does !== "sees" && shape.context && chosen.tokens > shape.context && shape.positions === "learned";
    noted.textContent = far ? say(text.beyond, { context: shape.context.toLocaleString("en") }) : "";
    const steps = { reading: text.timeReading, writing: text.timeWriting, step: text.timeStep };
    const times = Object.entries(steps).filter(([what]) => lines[`${what}_computing_seconds`]);
    const sources = [say(text.source, { name: on.name, source: on.source })];
    if (on.dollars_per_hour !== null)
      sources.push(say(text.price, { dollars: dollarsText(on.dollars_per_hour), source: on.price_source }));
    below.replaceChildren(
      ...memory(lines, on, setting),
      ...times.flatMap(([what, title]) => leastTime(what, title, lines, setting)),
      spentTable(lines, chosen, { does, on, text }),
      element("p", { class: "explorable-note" }, sources.join(" ")),
    );
    link.firstChild.href = csvAddress(csv(lines));
    const arrows = grouped(executed).arrows / total(executed);
    const { name } = known.models[chosen.model];
    const same = SIZES.every((size) => known.models[chosen.model].shape[size] === chosen[size]);
    said.set(
      say(training ? text.trained : text.finding, {
        model: same ? name : say(text.changed, { model: name }),
        texts: texts(chosen.batch, does, text),
        tokens: counted(chosen.tokens, text.token, text.manyTokens),
        flops: amount(total(executed)),
        share: percent(arrows),
        crossover: amount(Math.round(lines.crossover_tokens.full)),
      }),
    );
  };

  const write = () => {
    const fragment = toAddress(chosen, opened, known);
    if (fragment === location.hash || (!fragment && !location.hash.startsWith(MARK))) return;
    try {
      history.replaceState(history.state, "", fragment || location.pathname + location.search);
    } catch {
      // an address that may not be changed is none to share
    }
  };

  const read = () => {
    if (location.hash.startsWith(MARK)) set(fromAddress(location.hash, opened, known));
  };

  const told = () => {
    if (busy) return;
    const now = Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
    if (Object.keys(faults(now, known)).length) return; // half of a change; the rest follows
    chosen = now;
    showControls({});
    draw();
  };

  const grid = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  const sizes = element(
    "details",
    { class: "explorable-sizes" },
    element("summary", {}, text.sizes),
    element("div", { class: "explorable-fields" }, ...panel.fields.map(([, { node }]) => node)),
  );
  const ticks = element("div", {}, panel.stored_scores.node, panel.checkpointing.node);
  const reset = button(text.reset, () => {
    chosen = { ...opened };
    show();
  });
  el.append(
    body(
      model,
      grid(panel.model.node, panel.work.node, panel.tokens.node, panel.batch.node),
      sizes,
      ...said.nodes,
      noted,
      above,
      canvas,
      grid(
        panel.accelerator.node, panel.dtype.node, panel.utilisation.node, panel.trained_tokens.node, ticks,
      ),
      below,
      element("div", { class: "explorable-controls" }, reset),
      ...(addressed ? [element("p", { class: "explorable-note" }, text.address)] : []),
      link,
    ),
  );

  // the drawing can be dragged as well; the slider stays the way for keyboard and screen reader
  const drag = (event) => {
    const { edge } = chart;
    const share = (event.clientX - canvas.getBoundingClientRect().left - edge.left) / (edge.right - edge.left);
    const last = TO_A_DOUBLING * Math.round(Math.log2(known.most.tokens));
    const least = known.models[chosen.model].does === "sees" ? TO_A_DOUBLING : 0;
    set({ tokens: lengthAt(Math.round(Math.min(last, Math.max(least, last * share)))) });
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drag(event);
  });

  const changes = CHOSEN.map((name) => `change:${name}`).join(" ");
  model.on(changes, told);
  if (addressed) {
    addEventListener("hashchange", read);
    read();
  }
  showControls({});
  const sized = (now) => {
    width = now;
    draw();
  };
  sized(Math.floor(canvas.clientWidth)); // at once, so that nothing moves once it is seen
  const unsized = whenSized(canvas, sized);
  return () => {
    clearTimeout(timer);
    if (addressed) removeEventListener("hashchange", read);
    model.off(changes, told);
    said.stop();
    unsized();
  };
}

export default { render };
