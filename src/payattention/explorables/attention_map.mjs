// What each head of a trained model looks at while it reads a sentence. Three views of the same
// weights: all heads as small squares, one head as a heat map, and lines from word to word.

import {
  body, choice, colour, csvAddress, dataLink, drawn, element, line, percent, say, setting, slider, spoken,
  whenSized, words,
} from "./figure.mjs";

const TEXT = {
  task: "Find the head in which every word looks at the one before it.",
  before: "In layer {layer}, head {head} the word before gets {share} on average.",
  found: "That is it: in no other head does it get more.",
  sentence: "Sentence:",
  layer: "Layer:",
  head: "Head:",
  overview: "All {many} heads, a row for each layer: choose one",
  overviewPlot: "Small heat maps of all heads; layer {layer}, head {head} is chosen",
  heat: "Heat map of layer {layer}, head {head}: a row for each word that looks",
  lines: "Lines from each word to the words that it looks at, as thick as the weight",
  word: "Which word looks?",
  looks: "looks",
  at: "at",
  chosen: "the chosen word",
  others: "the others",
  ink: "more ink is more attention",
  named: "“{word}”",
  repeated: "“{word}” ({nth} of {many})",
  first: "Layer {layer}, head {head}: {word} gives {share} of its attention to {other}",
  itself: "itself",
  more: ", {share} to {other}",
  end: ".",
  data: "Layer {layer}, head {head} as numbers (CSV)",
};

const STEPS = 255; // a weight comes in one byte
const ROW = 26; // height of a word's row, as in the style sheet
const LETTER = 8.2; // about what a letter of a word takes
const WIDE = 600; // from this width on there is a heat map beside the lines
const LINES = [150, 330]; // least and greatest room from the words that look to those looked at
const SHARE = 60; // room for a share, right of the words looked at
const THUMBNAIL = 50; // the largest square of the overview
const LEVELS = [[0.08, 0.3], [0.25, 0.6], [0.5, 1]]; // of the overview: weight from, ink

/** The weights of a reading, in steps of 1/255, layer after layer, head after head, row after row. */
export function steps(reading) {
  return Uint8Array.from(atob(reading.weights), (letter) => letter.charCodeAt(0));
}

/** One head's weights, row after row. */
export function weightsOf(reading, all, layer, head) {
  const [many, start] = [reading.tokens.length, layer * reading.heads + head];
  const row = (i) => (start * many + i) * many;
  return reading.tokens.map((_, i) => Array.from(all.subarray(row(i), row(i + 1)), (w) => w / STEPS));
}

/** What a token gives to the one before it, averaged over all but the first. */
export function onTheOneBefore(weights) {
  return weights.slice(1).reduce((sum, row, i) => sum + row[i], 0) / (weights.length - 1);
}

/** Layer and head in which the tokens give most to the one before them. */
export function lookingBack(reading, all) {
  let best = { share: -1 };
  for (let layer = 0; layer < reading.layers; layer++)
    for (let head = 0; head < reading.heads; head++) {
      const share = onTheOneBefore(weightsOf(reading, all, layer, head));
      if (share > best.share) best = { layer, head, share };
    }
  return best;
}

/** Places of the largest weights of a row, the largest first. */
export function strongest(row, many) {
  return [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, many);
}

/** One head as CSV: a line for each pair of tokens. */
export function csv(reading, weights, layer, head) {
  const cell = (token) => (/[",\n]/.test(token) ? `"${token.replaceAll('"', '""')}"` : token);
  const names = reading.tokens.map(cell);
  const rows = weights.flatMap((row, i) =>
    row.map((weight, j) => [layer, head, names[i], names[j], weight.toFixed(4)].join()),
  );
  return `layer,head,token,looks_at,weight\n${rows.join("\n")}\n`;
}

/** A token in quotation marks; if it stands in the sentence more than once, which one it is. */
export function quoted(tokens, place, text = TEXT) {
  const word = tokens[place];
  const many = tokens.filter((token) => token === word).length;
  const nth = tokens.slice(0, place + 1).filter((token) => token === word).length;
  return say(many > 1 ? text.repeated : text.named, { word, nth, many });
}

// bent a little, so that small weights are seen
const ink = (weight) => weight ** 0.7;
const whole = (share) => percent(Math.round(100 * share) / 100);
const ideaOf = (i, word) => (i === word ? "attention" : "muted");

function square(x, y, width, height) {
  return `M${x.toFixed(1)},${y.toFixed(1)}h${width}v${height}h-${width}z`;
}

/** All heads, each a small square whose row for the chosen word has a colour of its own. */
function overview(now, text, width) {
  const { reading, all, layer, head, word } = now;
  const [left, top] = [20, 20];
  const pitch = Math.min(THUMBNAIL, Math.floor((width - left) / reading.heads));
  const side = pitch - 3;
  const size = { width: left + pitch * reading.heads, height: top + pitch * reading.layers };
  const svg = drawn("svg", { ...size, class: "explorable-overview", role: "img" });
  svg.setAttribute("aria-label", say(text.overviewPlot, now));
  for (let h = 0; h < reading.heads; h++)
    svg.append(words(h, left + pitch * h + side / 2, 13, { anchor: "middle", muted: h !== head }));
  for (let l = 0; l < reading.layers; l++) {
    const middle = top + pitch * l + side / 2 + 4;
    svg.append(words(l, left - 8, middle, { anchor: "end", muted: l !== layer }));
    for (let h = 0; h < reading.heads; h++) {
      const weights = weightsOf(reading, all, l, h);
      svg.append(thumbnail(weights, word, left + pitch * h, top + pitch * l, side));
    }
  }
  const frame = { x: left + pitch * head - 1.5, y: top + pitch * layer - 1.5 };
  const look = { fill: "none", stroke: colour("ink"), "stroke-width": 2.5, rx: 2 };
  svg.append(drawn("rect", { ...frame, width: side + 3, height: side + 3, ...look }));
  const at = (x, y) => {
    const [h, l] = [Math.floor((x - left) / pitch), Math.floor((y - top) / pitch)];
    return h >= 0 && l >= 0 && h < reading.heads && l < reading.layers ? { head: h, layer: l } : null;
  };
  return { svg, at };
}

function thumbnail(weights, word, x, y, side) {
  const cell = side / weights.length;
  const group = drawn("g", {});
  group.append(drawn("rect", { x, y, width: side, height: side, fill: colour("grid"), opacity: 0.45 }));
  LEVELS.forEach(([from, opacity], level) => {
    const below = LEVELS[level + 1]?.[0] ?? Infinity;
    for (const chosen of [false, true]) {
      const squares = weights.flatMap((row, i) =>
        (i === word) !== chosen ? [] : row.map((weight, j) =>
          weight >= from && weight < below
            ? square(x + cell * j, y + cell * i, cell.toFixed(2), cell.toFixed(2))
            : "",
        ),
      );
      const d = squares.join("");
      const fill = colour(chosen ? "attention" : "muted");
      if (d) group.append(drawn("path", { d, fill, "fill-opacity": opacity }));
    }
  });
  return group;
}

/** One head as a heat map whose rows stand level with the words beside it. */
function heatMap({ reading, weights, layer, head, word }, text, width, top) {
  const { tokens } = reading;
  const cell = (width - 8) / tokens.length;
  const svg = drawn("svg", { width, height: top + ROW * tokens.length + 2, role: "img" });
  svg.setAttribute("aria-label", say(text.heat, { layer, head }));
  svg.setAttribute("class", "explorable-heat");
  tokens.forEach((token, i) => {
    const x = cell * (i + 0.5) + 4.5;
    const up = words(token, x, top - 8, { muted: true });
    up.setAttribute("transform", `rotate(-90 ${x.toFixed(1)} ${top - 8})`);
    svg.append(up);
    weights[i].forEach((weight, j) => {
      const place = { x: cell * j + 0.5, y: top + ROW * i + 0.5, width: cell - 1, height: ROW - 1 };
      const fill = colour(ideaOf(i, word));
      svg.append(drawn("rect", { ...place, fill, "fill-opacity": ink(weight).toFixed(3) }));
    });
  });
  const frame = { x: 1, y: top + ROW * word, width: width - 9, height: ROW };
  const look = { fill: "none", stroke: colour("ink"), "stroke-width": 1.5, rx: 1.5 };
  svg.append(drawn("rect", { ...frame, ...look }));
  return svg;
}

/** Lines to the words that are looked at; those of the chosen word in front. */
function weave({ reading, weights, word }, text, width, top) {
  const { tokens } = reading;
  const side = LETTER * Math.max(...tokens.map((token) => token.length)) + SHARE;
  const end = width - side;
  const height = (i) => top + ROW * (i + 0.5);
  const svg = drawn("svg", { width, height: top + ROW * tokens.length + 2, role: "img" });
  svg.setAttribute("aria-label", text.lines);
  const bow = (i, j, look) => {
    const [from, to, middle] = [height(i), height(j), end / 2];
    const d = `M2,${from}C${middle},${from} ${middle},${to} ${end},${to}`;
    svg.append(drawn("path", { d, fill: "none", "stroke-linecap": "round", ...look }));
  };
  const front = [...weights.keys()].sort((a, b) => (a === word) - (b === word));
  for (const i of front)
    weights[i].forEach((weight, j) => {
      if (weight < (i === word ? 0.01 : 0.1)) return;
      const thick = i === word ? Math.max(0.75, 15 * weight) : 4 * weight;
      const opacity = i === word ? 0.4 + 0.55 * weight : 0.5 * weight;
      const look = { "stroke-width": thick.toFixed(2), "stroke-opacity": opacity.toFixed(2) };
      bow(i, j, { stroke: colour(ideaOf(i, word)), ...look });
    });
  svg.append(words(text.at, end + 8, top - 8, { muted: true }));
  tokens.forEach((token, j) => {
    const weight = weights[word][j];
    const name = words(token, end + 8, height(j) + 4.5, { strong: weight >= 0.2, muted: weight < 0.03 });
    svg.append(name);
    if (weight < 0.03) return;
    const share = { anchor: "end", idea: "attention", strong: weight >= 0.2 };
    svg.append(words(whole(weight), width - 2, height(j) + 4.5, share));
  });
  return svg;
}

let figures = 0; // on this page; the words of each are a group of their own

/** The words as native radio buttons: one by mouse or touch, arrow keys from one to the next. */
function picker(text, onPick) {
  const name = `explorable-word-${++figures}`;
  const node = element("fieldset", { class: "explorable-picker" });
  let inputs = [];
  const fill = (tokens) => {
    inputs = tokens.map((_, i) => element("input", { type: "radio", name, value: i }));
    const rows = inputs.map((input, i) => {
      input.addEventListener("change", () => onPick(i));
      return element("label", { class: "explorable-word" }, input, element("span", {}, tokens[i]));
    });
    const legend = element("legend", { class: "explorable-heard" }, text.word);
    const head = element("p", { class: "explorable-label", "aria-hidden": "true" }, text.looks);
    node.replaceChildren(legend, head, ...rows);
  };
  const pick = (word) =>
    inputs.forEach((input, i) => {
      input.checked = i === word;
      input.tabIndex = i === word ? 0 : -1;
    });
  return { node, fill, pick };
}

function legend(text) {
  const entry = (idea, name) => {
    const sample = drawn("svg", { width: 30, height: 10, "aria-hidden": "true" });
    sample.append(line([[0, 5], [30, 5]], { stroke: colour(idea), "stroke-width": 5 }));
    return element("span", {}, sample, ` ${name}`);
  };
  const parts = [entry("attention", text.chosen), entry("muted", text.others)];
  return element("p", { class: "explorable-legend" }, ...parts, element("span", {}, text.ink));
}

function finding({ reading, weights, layer, head, word }, text) {
  const row = weights[word];
  const name = (i) => (i === word ? text.itself : quoted(reading.tokens, i, text));
  const [first, ...others] = strongest(row, 3).filter((i, rank) => rank === 0 || row[i] >= 0.03);
  const values = { layer, head, word: quoted(reading.tokens, word, text) };
  const more = others.map((i) => say(text.more, { share: whole(row[i]), other: name(i) })).join("");
  return say(text.first, { ...values, share: whole(row[first]), other: name(first) }) + more + text.end;
}

function taskText({ weights, layer, head }, best, text) {
  const share = whole(onTheOneBefore(weights));
  const found = layer === best.layer && head === best.head ? ` ${text.found}` : "";
  return say(text.before, { layer, head, share }) + found;
}

function controls(model, text, maps) {
  const set = setting(model);
  const sentence = choice({
    label: text.sentence,
    options: maps.map((reading, i) => [i, reading.sentence]),
    value: model.get("sentence"),
    onChange: (value) => {
      const { tokens } = maps[value];
      // first, so that at no time a word is chosen that the sentence does not have
      set("word", Math.min(model.get("word"), tokens.length - 1));
      set("sentence", Number(value));
    },
  });
  const [layer, head] = ["layer", "head"].map((which) =>
    slider({
      label: text[which],
      max: maps[0][`${which}s`] - 1,
      position: model.get(which),
      text: String,
      onInput: (position) => set(which, position),
    }),
  );
  const pair = element("div", { class: "explorable-pair" }, layer.node, head.node);
  const node = element("div", {}, sentence.node, pair);
  return { node, sentence, layer, head, set };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const maps = model.get("maps");
  const read = maps.map((reading) => {
    const all = steps(reading);
    return { reading, all, best: lookingBack(reading, all) };
  });
  const panel = controls(model, text, maps);
  const heads = element("div", { class: "explorable-canvas" });
  const [heat, lines] = ["explorable-heat-map", "explorable-lines"].map((name) =>
    element("div", { class: name }),
  );
  const pick = picker(text, (i) => panel.set("word", i));
  const said = spoken();
  const progress = element("p", { class: "explorable-note", "aria-hidden": "true" });
  const link = dataLink(model.get("table"), "attention_map.csv", "");
  let [width, sentence, small] = [0, undefined, undefined];

  const draw = () => {
    if (!width) return;
    const { reading, all, best } = read[model.get("sentence")];
    const [layer, head, word] = ["layer", "head", "word"].map((key) => model.get(key));
    const weights = weightsOf(reading, all, layer, head);
    const now = { reading, all, weights, layer, head, word };
    if (sentence !== reading) pick.fill((sentence = reading).tokens);
    pick.pick(word);
    panel.sentence.input.value = model.get("sentence");
    panel.layer.show(layer);
    panel.head.show(head);
    small = overview(now, text, width);
    heads.replaceChildren(small.svg);
    drawHead(now);
    progress.textContent = taskText(now, best, text);
    said.set(finding(now, text), progress.textContent);
    link.firstChild.href = csvAddress(csv(reading, weights, layer, head));
    link.firstChild.textContent = say(text.data, { layer, head });
  };

  const drawHead = (now) => {
    const { tokens } = now.reading;
    const longest = LETTER * Math.max(...tokens.map((token) => token.length));
    const column = longest + 22; // the words that look
    const least = column + LINES[0] + longest + SHARE;
    const wide = width >= WIDE && width - least >= 10 * tokens.length;
    const map = wide ? Math.min(ROW * tokens.length, width - least) : 0;
    const top = wide ? longest + 18 : 26;
    pick.node.style.setProperty("--top", `${top}px`);
    pick.node.style.setProperty("--column", `${column}px`);
    const room = Math.min(width - map - column, LINES[1] + longest + SHARE);
    heat.replaceChildren(...(wide ? [heatMap(now, text, map, top)] : []));
    lines.replaceChildren(weave(now, text, room, top));
  };

  heads.addEventListener("click", (event) => {
    const box = heads.getBoundingClientRect();
    const found = small?.at(event.clientX - box.left, event.clientY - box.top);
    if (!found) return;
    panel.set("layer", found.layer);
    panel.set("head", found.head);
  });
  heat.addEventListener("click", (event) => {
    const rows = heat.firstChild.getBoundingClientRect();
    const { tokens } = maps[model.get("sentence")];
    const row = tokens.length - Math.ceil((rows.bottom - 2 - event.clientY) / ROW);
    if (row >= 0 && row < tokens.length) panel.set("word", row);
  });

  const caption = say(text.overview, { many: maps[0].layers * maps[0].heads });
  el.append(
    body(
      model,
      element("p", { class: "explorable-task" }, text.task),
      progress,
      panel.node,
      element("p", { class: "explorable-label", "aria-hidden": "true" }, caption),
      heads,
      element("div", { class: "explorable-weave" }, heat, pick.node, lines),
      legend(text),
      ...said.nodes,
      link,
    ),
  );
  const changes = "change:sentence change:layer change:head change:word";
  model.on(changes, draw);
  const stop = whenSized(heads, (now) => {
    width = now;
    draw();
  });
  return () => {
    model.off(changes, draw);
    said.stop();
    stop();
  };
}

export default { render };
