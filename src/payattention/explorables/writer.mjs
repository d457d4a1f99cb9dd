// The book's GPT in the reader's browser: what comes next, and whom each character looks at. Until the reader
// asks for the weights, what Python has computed of the prompt is seen.

import {
  body, button, choice, colour, csvAddress, dataLink, drawn, element, percent, say, setting, slider, spoken,
  uniforms, whenSized, words,
} from "./figure.mjs";
import { decoder, encode, pick, probabilities, Reading, strongest, unbase64 } from "./decoder.mjs";
import { fetched, loading, LOADING } from "./loading.mjs";

const TEXT = {
  ...LOADING,
  one: "One character",
  on: "Write on",
  stop: "Stop",
  again: "Start again",
  temperature: "Temperature:",
  from: "Drawn from:",
  all: "all characters",
  few: "the {many} likeliest",
  next: "What comes next? Choose one to write it.",
  looking: "Whom does a character look at? Choose one.",
  sees: "The model sees all {many} characters; {context} fit into its context.",
  forgets: "The model sees the last {many} of {all} characters; {context} fit into its context.",
  layer: "Layer:",
  head: "Head:",
  overview: "All {many} heads, a strip each, in each layer head 0 on top: choose one",
  overviewPlot: "How all heads share the attention of {character} out; layer {layer}, head {head} is chosen",
  group: "layer {layer}",
  space: "space",
  newLine: "new line",
  theSpace: "the space",
  theNewLine: "the new line",
  named: "“{character}”",
  likely: "{character} ({share})",
  following: "After “{end}” the likeliest next characters are {first}, {second} and {third}.",
  looks: "In layer {layer}, head {head}, {character} gives {share} of its attention to {other}",
  itself: "itself",
  before: "{character}, {many} before it",
  more: ", {share} to {other}",
  end: ".",
  empty: "Of an empty text nothing follows. Write something.",
  writing: "The model writes: {many} characters so far.",
  data: "The chances of every next character (CSV)",
};

const STEPS = 255; // a stored weight comes in one byte
const LIKELIEST = 10; // bars
const PACE = 40; // milliseconds from one character to the next, slow enough to watch
const MOST = 1000; // characters that are written at a stretch
const [LETTER, LINE] = [19, 28]; // width and height of a letter's cell, as in the style sheet
const LABEL = 52; // room for the name of a layer
const [STRIP, GAP, WIDEST] = [8, 7, 16]; // height of a head's strip, room between layers, most for a letter
const LEVELS = [[0.04, 0.3], [0.2, 0.6], [0.5, 1]]; // of the strips: weight from, ink

/** What Python has read, in the form of a `Reading`. */
export function storedReading({ logits, weights }, { heads }, ids) {
  const steps = unbase64(weights);
  const row = (layer, head, place) => {
    const from = ((layer * heads + head) * ids.length + place) * ids.length;
    return Array.from(steps.subarray(from, from + place + 1), (step) => step / STEPS);
  };
  return { ids, start: 0, logits, row };
}

/** The chances as CSV: a line for each character of the vocabulary. */
export function csv(vocabulary, logits, shares, text = TEXT) {
  const cell = (name) => (/[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
  const rows = [...vocabulary].map((character, i) =>
    [cell(named(character, text)), logits[i].toFixed(4), shares[i].toFixed(6)].join(),
  );
  return `character,logit,probability\n${rows.join("\n")}\n`;
}

const named = (character, text) => ({ " ": text.space, "\n": text.newLine })[character] ?? character;
const mark = (character) => ({ " ": "·", "\n": "⏎" })[character] ?? character;
const whole = (share) => percent(Math.round(100 * share) / 100);
const ink = (weight) => weight ** 0.7; // bent a little, so that small weights are seen
const quoted = (character, text) =>
  ({ " ": text.theSpace, "\n": text.theNewLine })[character] ?? say(text.named, { character });

// What is seen

/** Ten buttons, each a bar: the likeliest next characters. */
function nextBars(text, onPick) {
  const rows = Array.from({ length: LIKELIEST }, (_, rank) => {
    const parts = ["name", "share", "bar"].map((part) => element("span", { class: `explorable-next-${part}` }));
    const node = element("button", { type: "button", class: "explorable-next" }, ...parts);
    node.addEventListener("click", () => onPick(rank));
    return { node, parts };
  });
  const label = element("p", { class: "explorable-label", "aria-hidden": "true" }, text.next);
  const list = element("div", { role: "group", "aria-label": text.next }, ...rows.map(({ node }) => node));
  const show = (vocabulary, shares, order, usable) =>
    rows.forEach(({ node, parts: [name, share, bar] }, rank) => {
      const at = order[rank];
      node.disabled = at === undefined || !usable;
      name.textContent = at === undefined ? "–" : named(vocabulary[at], text);
      bar.style.setProperty("--share", at === undefined ? 0 : shares[at]);
      share.textContent = at === undefined ? "" : percent(shares[at]);
    });
  return { node: element("div", {}, label, list), show };
}

let figures = 0; // on this page; the letters of each are a group of their own

/** The text that the model sees, a native radio button for each character. */
function letters(text, onPick) {
  const name = `explorable-letter-${++figures}`;
  const cells = [];
  const list = element("div", { class: "explorable-letters" });
  const legend = element("legend", { class: "explorable-label" }, text.looking);
  const node = element("fieldset", { class: "explorable-picker-wide" }, legend, list);
  const cell = (place) => {
    const input = element("input", { type: "radio", name });
    const shown = element("span", {});
    input.addEventListener("change", () => onPick(place));
    return { node: element("label", { class: "explorable-letter" }, input, shown), input, shown };
  };
  const show = (characters, chosen, row) => {
    while (cells.length < characters.length) cells.push(cell(cells.length));
    characters.forEach((character, place) => {
      const { node, input, shown } = cells[place];
      if (!node.parentNode) list.append(node);
      if (shown.textContent !== mark(character)) {
        shown.textContent = mark(character);
        input.setAttribute("aria-label", named(character, text));
      }
      node.classList.toggle("explorable-later", place > chosen);
      node.style.setProperty("--ink", ink(row[place] ?? 0).toFixed(3));
      input.checked = place === chosen;
      input.tabIndex = place === chosen ? 0 : -1;
    });
    for (const { node } of cells.slice(characters.length)) node.remove();
  };
  // room for a full context from the beginning, so that nothing moves when the text grows
  const fit = (context) => {
    const inARow = Math.max(1, Math.floor(list.clientWidth / LETTER));
    list.style.minHeight = `${LINE * Math.ceil(context / inARow)}px`;
  };
  return { node, list, show, fit };
}

/** All heads, each a strip with a mark for every character that the chosen one looks at. */
function strips({ reading, place, many, layer, head, character }, { layers, heads }, text, width) {
  const pitch = Math.min(WIDEST, (width - LABEL - 4) / Math.max(many, 1));
  const pace = (STRIP + 2) * heads + GAP;
  const top = (l, h) => pace * l + (STRIP + 2) * h + 2;
  const svg = drawn("svg", { width, height: pace * layers, class: "explorable-strips", role: "img" });
  svg.setAttribute("aria-label", say(text.overviewPlot, { layer, head, character }));
  for (let l = 0; l < layers; l++) {
    const middle = pace * l + (pace - GAP) / 2 + 5;
    svg.append(words(say(text.group, { layer: l }), 0, middle, { muted: l !== layer }));
    for (let h = 0; h < heads; h++) {
      const size = { x: LABEL, y: top(l, h), width: (pitch * many).toFixed(1), height: STRIP };
      svg.append(drawn("rect", { ...size, fill: colour("grid"), opacity: 0.45 }));
      if (many) svg.append(...marks(reading.row(l, h, place), LABEL + pitch / 2, top(l, h), pitch));
      if (l === layer && h === head) {
        const frame = { ...size, x: LABEL - 2, y: top(l, h) - 1.5, height: STRIP + 3 };
        const look = { fill: "none", stroke: colour("ink"), "stroke-width": 2, rx: 2 };
        svg.append(drawn("rect", { ...frame, width: (pitch * many + 4).toFixed(1), ...look }));
      }
    }
  }
  const at = (y) => {
    const [l, rest] = [Math.floor(y / pace), y % pace];
    const h = Math.min(heads - 1, Math.floor(rest / (STRIP + 2)));
    return l >= 0 && l < layers ? { layer: l, head: h } : null;
  };
  return { svg, at };
}

// one path for each level of ink, not one for each weight
function marks(row, x, y, pitch) {
  const paths = LEVELS.map(() => "");
  row.forEach((weight, j) => {
    const level = LEVELS.findLastIndex(([from]) => weight >= from);
    if (level >= 0) paths[level] += `M${(x + pitch * j).toFixed(1)},${y}v${STRIP}`;
  });
  const look = { stroke: colour("attention"), "stroke-width": Math.max(1.5, pitch - 1).toFixed(1) };
  return paths.flatMap((d, level) =>
    d ? [drawn("path", { d, ...look, "stroke-opacity": LEVELS[level][1] })] : [],
  );
}

function finding({ reading, shares, order, characters, place, row, layer, head }, vocabulary, text) {
  const likely = (rank) => {
    const share = whole(shares[order[rank]]);
    return say(text.likely, { character: quoted(vocabulary[order[rank]], text), share });
  };
  const all = reading.ids.map((id) => vocabulary[id]);
  const end = (all.length > 16 ? "…" : "") + all.slice(-16).join("").replaceAll("\n", "⏎");
  const following = say(text.following, { end, first: likely(0), second: likely(1), third: likely(2) });
  const seen = (j) =>
    j === place
      ? text.itself
      : say(text.before, { character: quoted(characters[j], text), many: place - j });
  const [first, ...others] = strongest(row, 3).filter((j, rank) => rank === 0 || row[j] >= 0.03);
  const values = { layer, head, character: quoted(characters[place], text) };
  const looks = say(text.looks, { ...values, share: whole(row[first]), other: seen(first) });
  const more = others.map((j) => say(text.more, { share: whole(row[j]), other: seen(j) })).join("");
  return `${following} ${looks}${more}${text.end}`;
}

function controls(model, text) {
  const set = setting(model);
  const temperature = slider({
    label: text.temperature,
    max: 20,
    position: Math.round(10 * model.get("temperature")),
    text: (position) => (position / 10).toFixed(1),
    onInput: (position) => set("temperature", position / 10),
  });
  const from = choice({
    label: text.from,
    options: [0, 10, 3].map((many) => [many, many ? say(text.few, { many }) : text.all]),
    value: model.get("top_k"),
    onChange: (value) => set("top_k", Number(value)),
  });
  const [layer, head] = ["layer", "head"].map((which) =>
    slider({
      label: text[which],
      max: model.get("sizes")[`${which}s`] - 1,
      position: model.get(which),
      text: String,
      onInput: (position) => set(which, position),
    }),
  );
  return { temperature, from, layer, head, set };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const [sizes, wanted, prompt] = ["sizes", "weights", "prompt"].map((key) => model.get(key));
  const vocabulary = [...model.get("vocabulary")];
  const random = uniforms(model.get("seed"));
  const panel = controls(model, text);
  const said = spoken();
  said.nodes[0].classList.add("explorable-long");
  const link = dataLink(model.get("table"), "writer.csv", text.data);
  const canvas = element("div", { class: "explorable-canvas" });
  const box = element("textarea", { class: "explorable-text", rows: 4, spellcheck: "false" });
  box.value = prompt;
  const [met, sees] = [0, 0].map(() => element("p", { class: "explorable-note explorable-short" }));
  const stored = storedReading(model.get("stored"), sizes, encode(prompt, vocabulary).ids);
  let [reading, live, width, small, order, written, timer] = [stored, null, 0, null, [], 0, 0];
  let looking = model.get("place"); // a text that grows has places that the kernel does not know

  const draw = () => {
    if (!width) return;
    const [layer, head, temperature, topK] = ["layer", "head", "temperature", "top_k"].map((key) => model.get(key));
    const characters = reading.ids.slice(reading.start).map((id) => vocabulary[id]);
    const many = characters.length;
    const chosen = looking - reading.start;
    const place = looking >= reading.start && chosen < many ? chosen : many - 1; // forgotten: the last
    const row = many ? reading.row(layer, head, place) : [];
    const shares = reading.logits && probabilities(reading.logits, temperature, topK);
    order = shares ? strongest(reading.logits, LIKELIEST) : [];
    panel.temperature.show(Math.round(10 * temperature));
    panel.from.input.value = topK;
    panel.layer.show(layer);
    panel.head.show(head);
    next.show(vocabulary, shares, order, !absent);
    seen.show(characters, place, row);
    const character = many ? quoted(characters[place], text) : "";
    small = strips({ reading, place, many, layer, head, character }, sizes, text, width);
    canvas.replaceChildren(small.svg);
    const all = reading.ids.length;
    sees.textContent = say(many < all ? text.forgets : text.sees, { many, all, context: sizes.context });
    if (written) return said.set(say(text.writing, { many: written }));
    if (!shares) return said.set(text.empty);
    said.set(finding({ reading, shares, order, characters, place, row, layer, head }, vocabulary, text));
    link.firstChild.href = csvAddress(csv(vocabulary, reading.logits, shares, text));
  };

  const look = (place) => {
    looking = place;
    draw();
  };

  const read = () => {
    const { ids, unknown } = encode(box.value, vocabulary);
    const characters = unknown.join(" ");
    met.textContent = say(unknown.length ? text.unmet : text.met, { characters, many: vocabulary.length });
    if (live) reading = live.follow(ids);
    draw();
  };

  /** Whether the model is here, once it has come or has failed to. */
  const ensure = async () => {
    if (live || absent) return Boolean(live);
    const start = performance.now();
    const hadFocus = load.ask === load.ask.getRootNode().activeElement;
    load.show("coming");
    if (hadFocus) box.focus();
    try {
      const made = await fetched(model, text, load.progress);
      live ??= new Reading(decoder(made));
    } catch (error) {
      load.show("still", say(text.failed, { reason: error.message }));
      return false;
    }
    const parameters = sizes.parameters.toLocaleString("en");
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    load.show("here", say(text.loaded, { parameters, seconds }));
    read();
    return true;
  };

  const write = (id) => {
    box.value += vocabulary[id];
    box.scrollTop = box.scrollHeight;
    looking = -1; // the new character looks
    read();
  };

  const writeOne = () => {
    const shares = probabilities(reading.logits, model.get("temperature"), model.get("top_k"));
    write(pick(shares, random()));
  };

  const stop = () => {
    clearTimeout(timer);
    [written, timer] = [0, 0];
    on.textContent = text.on;
    draw();
  };

  const writeOn = () => {
    if (written === MOST) return stop();
    written++;
    writeOne();
    timer = setTimeout(writeOn, PACE);
  };

  const able = async () => (await ensure()) && reading.logits; // of an empty text nothing follows

  const load = loading(text, wanted, ensure);
  const absent = !model.send && !wanted.on_pages;
  const next = nextBars(text, async (rank) => {
    stop();
    const id = order[rank];
    if ((await able()) && id !== undefined) write(id);
  });
  const seen = letters(text, (place) => look(reading.start + place));
  const on = button(text.on, async () => {
    if (timer) return stop();
    if (!(await able()) || timer) return;
    on.textContent = text.stop;
    writeOn();
  });
  const buttons = [
    button(text.one, async () => {
      stop();
      if (await able()) writeOne();
    }),
    on,
    button(text.again, () => {
      box.value = prompt;
      looking = -1;
      stop();
      read();
    }),
  ];
  on.style.minWidth = "6.5em"; // two names, one width
  if (absent) {
    load.show("here", text.absent);
    box.readOnly = true;
    for (const one of buttons) one.disabled = true;
  }
  // whoever takes the text into the hand stops the model, before it moves what is selected
  for (const event of ["focus", "pointerdown", "keydown"])
    box.addEventListener(event, () => timer && stop());
  box.addEventListener("input", async () => {
    looking = -1;
    read();
    if (!live) await ensure();
  });
  canvas.addEventListener("click", (event) => {
    const found = small?.at(event.clientY - canvas.getBoundingClientRect().top);
    if (!found) return;
    panel.set("layer", found.layer);
    panel.set("head", found.head);
  });

  const yours = element("span", { class: "explorable-label" }, text.yours);
  const caption = say(text.overview, { many: sizes.layers * sizes.heads });
  el.append(
    body(
      model,
      load.node,
      element("label", { class: "explorable-control" }, yours, box),
      met,
      element("div", { class: "explorable-buttons" }, ...buttons),
      element("div", { class: "explorable-controls" }, panel.temperature.node, panel.from.node),
      next.node,
      seen.node,
      sees,
      element("div", { class: "explorable-pair" }, panel.layer.node, panel.head.node),
      element("p", { class: "explorable-label", "aria-hidden": "true" }, caption),
      canvas,
      ...said.nodes,
      link,
    ),
  );
  const changes = "change:temperature change:top_k change:layer change:head";
  const moved = () => look(model.get("place"));
  model.on(changes, draw);
  model.on("change:place", moved);
  const sized = (now) => {
    width = now;
    seen.fit(sizes.context);
    read();
  };
  sized(Math.floor(canvas.clientWidth)); // at once, so that nothing moves once it is seen
  const unsized = whenSized(canvas, sized);
  return () => {
    clearTimeout(timer);
    model.off(changes, draw);
    model.off("change:place", moved);
    said.stop();
    unsized();
  };
}

export default { render };
