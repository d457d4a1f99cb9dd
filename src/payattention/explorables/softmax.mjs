// How wide vectors sharpen softmax. One query and 8 keys are drawn, all their numbers normal; the
// scores are dot products, divided by `scale`: the temperature times, when asked, the root of d_head.

import {
  body, button, choice, colour, dataLink, DOTTED, drawn, element, frame, guessing, line, normal, number,
  percent, say, setting, slider, spoken, uncover, uniforms, whenSized, words,
} from "./figure.mjs";

const TEXT = {
  question:
    "A query and 8 keys, {d} random numbers each: their 8 dot products, {scaled}, go into softmax. " +
    "How much does the largest of the 8 weights take, on average?",
  asTheyAre: "as they are",
  over: "divided by {scale}",
  guess: "My guess:",
  reveal: "Show me",
  width: "Width of query and keys (d_head):",
  divided: "The scores are:",
  yes: "divided by √d_head",
  no: "not divided",
  temperature: "Temperature:",
  draw: "Draw other vectors",
  again: "Guess again",
  scores: "score of each key",
  weights: "weight, in per cent",
  key: "key",
  guessed: "your guess {share}",
  scoresPlot: "Scores of 8 keys: {values}",
  weightsPlot: "Weights of 8 keys, in per cent: {values}",
  weightsHidden: "Weights of 8 keys, hidden until you have guessed",
  hidden: "The weights are hidden until you have guessed.",
  little: "<1",
  nearlyNone: "less than 0.001",
  largest: "Largest weight",
  entropy: "Entropy, in bits",
  slope: "Σ p (1 − p)",
  least: "≥ 1/8",
  bits: "≤ log₂ 8 = 3",
  trace: "trace of the Jacobian, ≤ 7/8",
  measurePlot: "{name} against d_head, on average: undivided {undivided}; divided {divided}",
  legendNo: "not divided, on average",
  legendYes: "divided by √d_head, on average",
  legendDot: "this draw",
  axis: "d_head",
  finding:
    "At a width of {d}, with scores {scaled}, the largest weight is {largest} in this draw and {mean} on " +
    "average. The entropy is {entropy} of 3 bits, and Σ p (1 − p) is {slope} of at most 0.875.",
  same: "A temperature of {temperature} is √{d}: it does what the division does.",
  twice: "Divided twice over: √{d} times a temperature of {temperature}.",
  verdict: "You guessed {guess}.",
  data: "The figure’s data (CSV)",
};

const KEYS = 8;
const POWERS = 10; // widths are 1, 2, 4, ... 1024
const WIDEST = 2 ** POWERS;
const WIDTHS = Array.from({ length: POWERS + 1 }, (_, power) => 2 ** power);
const WARMTHS = 28; // slider positions of the temperature, four to a doubling
const GUTTER = 16; // between them, as in the style sheet
const [LEAST, MOST] = [13, 100]; // guesses in per cent: the largest of 8 is never below 12.5
const DRAWS = 1000; // behind each average
const ROWS = [130, 190]; // heights of the scores and of the weights
const SIDE_BY_SIDE = 560; // width from which the three measures stand in one row

/** Temperature at a slider position: 0.25 to 32, position 8 is exactly 1. */
export function temperatureAt(position) {
  return 2 ** ((position - 8) / 4);
}

/** A query and 8 keys of 1024 numbers each; a narrower head takes the first of them. */
export function vectors(seed) {
  const random = uniforms(seed);
  const rows = Array.from({ length: KEYS + 1 }, () => new Float64Array(WIDEST));
  for (let i = 0; i < WIDEST; i++) for (const row of rows) row[i] = normal(random);
  const [query, ...keys] = rows;
  return { query, keys };
}

/** The dot product of the query with each key, of the first d numbers. */
export function dotProducts({ query, keys }, d) {
  return keys.map((key) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += query[i] * key[i];
    return sum;
  });
}

/** What a dot product is divided by in all. */
export function scaleOf(d, divided, temperature) {
  return temperature * (divided ? Math.sqrt(d) : 1);
}

/** Shares that sum to 1. */
export function softmax(scores) {
  const most = Math.max(...scores); // taken off, so that no exponential overflows
  const raised = scores.map((score) => Math.exp(score - most));
  const sum = raised.reduce((a, b) => a + b);
  return raised.map((one) => one / sum);
}

/** How undecided weights are, in bits. */
export function entropyBits(weights) {
  return weights.reduce((sum, p) => (p > 0 ? sum - p * Math.log2(p) : sum), 0);
}

/** Sum of p (1 - p): the trace of softmax's Jacobian, diag(p) - p p^T. */
export function slope(weights) {
  return weights.reduce((sum, p) => sum + p * (1 - p), 0);
}

/** Largest weight, entropy and slope of the weights of these scores. */
export function measured(scores) {
  const weights = softmax(scores);
  return { largest: Math.max(...weights), entropy: entropyBits(weights), slope: slope(weights) };
}

/**
 * Draws for the averages: given a query, the dot products with normal keys are normal themselves, with
 * the query's length as deviation. So a draw is that length at each width, and 8 normal numbers.
 */
export function lengthsAndNormals(draws, seed) {
  const random = uniforms(seed);
  return Array.from({ length: draws }, () => {
    const normals = Array.from({ length: KEYS }, () => normal(random));
    let [squares, i] = [0, 0];
    const lengths = WIDTHS.map((d) => {
      for (; i < d; i++) squares += normal(random) ** 2;
      return Math.sqrt(squares);
    });
    return { lengths, normals };
  });
}

/** Averages of the three measures at each width, 1 to 1024. */
export function averages(draws, divided, temperature) {
  return WIDTHS.map((d, at) => {
    const scale = scaleOf(d, divided, temperature);
    const sum = { largest: 0, entropy: 0, slope: 0 };
    for (const { lengths, normals } of draws) {
      const one = measured(normals.map((z) => (z * lengths[at]) / scale));
      for (const name in sum) sum[name] += one[name] / draws.length;
    }
    return sum;
  });
}

// 0.7, 7.3, 73: as many digits as fit over a bar
const brief = (value) => {
  const digits = Math.abs(value) < 10 ? 1 : 0;
  const options = { maximumFractionDigits: digits, signDisplay: "negative" }; // no minus before a 0
  return value.toLocaleString("en", options).replace("-", "−");
};
const wholePercent = (share, text) => (share < 0.005 ? text.little : String(Math.round(100 * share)));
const shareText = (share) => percent(Number(share.toPrecision(2)));
const small = (value, text) =>
  value < 0.001 ? text.nearlyNone : value.toLocaleString("en", { maximumSignificantDigits: 2 });

// the next of 1, 2, 5, 10, 20, ... so that the axis does not shift at every step
function ceiling(value) {
  const ten = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * ten >= value) * ten;
}

// one upright bar for each key, from 0 to its value
function bars({ svg, along, up, edge }, values, label, idea) {
  const half = Math.min(24, 0.32 * (along(2) - along(1)));
  values.forEach((value, i) => {
    const [x, top, bottom] = [along(i + 1), Math.min(up(value), up(0)), Math.max(up(value), up(0))];
    const shape = { x: x - half, y: top, width: 2 * half, height: Math.max(bottom - top, 1) };
    svg.append(drawn("rect", { ...shape, fill: colour(idea), rx: 1.5 }));
    const below = value < 0;
    const y = below ? bottom + 14 : top - 5;
    svg.append(words(label(value), x, Math.min(y, edge.bottom), { anchor: "middle" }));
  });
}

const keysAxis = (text, named) => ({
  domain: [0.4, KEYS + 0.6],
  ticks: named ? Array.from({ length: KEYS }, (_, i) => i + 1) : [],
  text: String,
  label: named ? text.key : "",
});

function scoresChart(scores, text, width) {
  const most = ceiling(Math.max(...scores.map(Math.abs)));
  const chart = frame({
    width,
    height: ROWS[0],
    flags: 0,
    left: 48,
    below: 8,
    x: keysAxis(text, false),
    y: { domain: [-1.7 * most, 1.5 * most], ticks: [-most, 0, most], text: brief, label: text.scores },
    label: say(text.scoresPlot, { values: scores.map(brief).join(", ") }),
  });
  bars(chart, scores, brief, "muted");
  return chart.svg;
}

function weightsChart(model, weights, text, width) {
  const shown = model.get("revealed");
  const values = weights.map((weight) => wholePercent(weight, text)).join(", ");
  const chart = frame({
    width,
    height: ROWS[1],
    flags: 1,
    left: 48,
    x: keysAxis(text, true),
    y: {
      domain: [0, 1],
      ticks: [0, 0.5, 1],
      text: (share) => String(100 * share),
      label: text.weights,
    },
    label: shown ? say(text.weightsPlot, { values }) : text.weightsHidden,
  });
  if (model.get("guess")) drawGuess(chart, model.get("guess"), text);
  if (shown) bars(chart, weights, (weight) => wholePercent(weight, text), "attention");
  return chart.svg;
}

function drawGuess({ svg, up, edge }, guess, text) {
  const y = up(guess / 100);
  svg.append(line([[edge.left, y], [edge.right, y]], { stroke: colour("memory"), ...DOTTED }));
  const name = say(text.guessed, { share: percent(guess / 100) });
  svg.append(words(name, edge.right, 14, { anchor: "end", idea: "memory" }));
}

const LOOKS = [
  [false, { "stroke-dasharray": "6 4" }],
  [true, {}],
];
const MEASURES = [
  { name: "largest", most: 1, ticks: [0, 0.5, 1], axis: percent, note: "least" },
  { name: "entropy", most: 3, ticks: [0, 1, 2, 3], axis: String, note: "bits" },
  { name: "slope", most: 0.875, ticks: [0, 0.4, 0.8], axis: String, note: "trace" },
];

// one measure: its value in this draw, and its averages at every width
function measureChart({ name, most, ticks, axis, note }, model, now, curves, text, width) {
  const shown = name === "largest" ? shareText(now[name]) : small(now[name], text);
  const ends = (divided) =>
    curves[divided].filter((_, at) => at % 5 === 0).map((one) => small(one[name], text)).join(", ");
  const values = { name: text[name], undivided: ends(false), divided: ends(true) };
  const chart = frame({
    width,
    height: 140,
    flags: -1, // the name stands above, in the page
    left: 48,
    x: { domain: [1, WIDEST], ticks: [1, 16, 256], log: true, text: String, label: text.axis },
    y: { domain: [0, most], ticks, text: axis, label: "" },
    label: say(text.measurePlot, values),
  });
  for (const [divided, look] of LOOKS) {
    const points = curves[divided].map((one, at) => [chart.along(WIDTHS[at]), chart.up(one[name])]);
    const thick = divided === model.get("divided") ? 3 : 1.5;
    chart.svg.append(line(points, { stroke: colour("attention"), "stroke-width": thick, ...look }));
  }
  const dot = { cx: chart.along(model.get("d_head")), cy: chart.up(now[name]), r: 5.5 };
  chart.svg.append(drawn("circle", { ...dot, fill: colour("ink") }));
  const value = element("span", { class: "explorable-value" }, shown);
  const head = element("p", { class: "explorable-label" }, `${text[name]}: `, value);
  const limits = element("p", { class: "explorable-note explorable-label" }, text[note]);
  return element("div", {}, head, limits, chart.svg);
}

function legend(text) {
  const sample = (shape, name) => {
    const picture = drawn("svg", { width: 30, height: 12, "aria-hidden": "true" }, shape);
    return element("span", {}, picture, ` ${name}`);
  };
  const curve = (look) => line([[0, 6], [30, 6]], { stroke: colour("attention"), ...look });
  return element(
    "p",
    { class: "explorable-legend" },
    sample(curve(LOOKS[0][1]), text.legendNo),
    sample(curve(LOOKS[1][1]), text.legendYes),
    sample(drawn("circle", { cx: 15, cy: 6, r: 5, fill: colour("ink") }), text.legendDot),
  );
}

function scaledText(model, text) {
  const scale = scaleOf(model.get("d_head"), model.get("divided"), model.get("temperature"));
  return scale === 1 ? text.asTheyAre : say(text.over, { scale: number(scale) });
}

function finding(model, text, now, curves) {
  const [d, divided, temperature] = ["d_head", "divided", "temperature"].map((key) => model.get(key));
  const values = {
    d: number(d),
    scaled: scaledText(model, text),
    largest: shareText(now.largest),
    mean: shareText(curves[divided][Math.log2(d)].largest),
    entropy: small(now.entropy, text),
    slope: small(now.slope, text),
    temperature: number(temperature),
  };
  const parts = [say(text.finding, values)];
  const isRoot = d > 1 && Math.abs(temperature - Math.sqrt(d)) < 1e-9;
  if (!divided && isRoot) parts.push(say(text.same, values));
  if (divided && d > 1 && temperature !== 1) parts.push(say(text.twice, values));
  if (model.get("guess")) parts.push(say(text.verdict, { guess: percent(model.get("guess") / 100) }));
  return parts.join(" ");
}

function controls(model, text, drawAgain) {
  const set = setting(model);
  const width = slider({
    label: text.width,
    max: POWERS,
    position: Math.log2(model.get("d_head")),
    text: (position) => number(2 ** position),
    onInput: (position) => set("d_head", 2 ** position),
  });
  const divided = choice({
    label: text.divided,
    options: [["no", text.no], ["yes", text.yes]],
    value: model.get("divided") ? "yes" : "no",
    onChange: (value) => set("divided", value === "yes"),
  });
  const temperature = slider({
    label: text.temperature,
    max: WARMTHS,
    position: warmth(model.get("temperature")),
    text: (position) => number(temperatureAt(position)),
    onInput: (position) => set("temperature", temperatureAt(position)),
  });
  const guess = guessing({
    label: text.guess,
    reveal: text.reveal,
    max: MOST - LEAST,
    position: (model.get("guess") || 30) - LEAST,
    text: (position) => percent((position + LEAST) / 100),
    onGuess: (position) => set("guess", position + LEAST),
    onReveal: () => set("revealed", true),
  });
  const other = button(text.draw, drawAgain);
  const again = button(text.again, () => {
    set("guess", 0);
    set("revealed", false);
  });
  const buttons = element("div", { class: "explorable-buttons" }, other, again);
  const parts = [width.node, temperature.node, divided.node, buttons];
  const open = element("div", { class: "explorable-controls" }, ...parts);
  return { guess, open, width, divided, temperature };
}

const warmth = (temperature) => Math.round(4 * Math.log2(temperature)) + 8;

// what a function gave last time, while its argument stays the same
function remembered(compute) {
  let [last, value] = [undefined, undefined];
  return (argument) => {
    if (argument !== last) [last, value] = [argument, compute(argument)];
    return value;
  };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const canvas = element("div", { class: "explorable-canvas" });
  const trio = element("div", { class: "explorable-trio" });
  const key = legend(text);
  const said = spoken();
  const draws = remembered((seed) => lengthsAndNormals(DRAWS, seed));
  const averaged = remembered((temperature) => {
    const all = draws(model.get("seed"));
    return Object.fromEntries(
      LOOKS.map(([divided]) => [divided, averages(all, divided, temperature)]),
    );
  });
  let [seed, width] = [model.get("seed"), 0];
  let drawnVectors = vectors(seed);

  const panel = controls(model, text, () => {
    drawnVectors = vectors(++seed);
    draw();
  });

  const drawMeasures = (scores) => {
    const curves = averaged(model.get("temperature"));
    const now = measured(scores);
    const columns = width < SIDE_BY_SIDE ? 1 : MEASURES.length;
    trio.style.setProperty("--columns", columns);
    const column = Math.floor((width - GUTTER * (columns - 1)) / columns);
    trio.replaceChildren(
      ...MEASURES.map((measure) => measureChart(measure, model, now, curves, text, column)),
    );
    said.set(finding(model, text, now, curves));
  };

  const draw = () => {
    if (!width) return;
    const shown = model.get("revealed");
    uncover(shown, panel.guess.node, [panel.open, trio, key], panel.width.input);
    const [d, divided, temperature] = ["d_head", "divided", "temperature"].map((key) => model.get(key));
    const scale = scaleOf(d, divided, temperature);
    const scores = dotProducts(drawnVectors, d).map((product) => product / scale);
    const question = say(text.question, { d: number(d), scaled: scaledText(model, text) });
    panel.guess.ask(question, (model.get("guess") || 30) - LEAST);
    panel.width.show(Math.log2(d));
    panel.temperature.show(warmth(temperature));
    panel.divided.input.value = divided ? "yes" : "no";
    canvas.replaceChildren(
      scoresChart(scores, text, width),
      weightsChart(model, softmax(scores), text, width),
    );
    if (shown) drawMeasures(scores);
    else said.set(text.hidden);
  };

  el.append(
    body(
      model,
      panel.guess.node,
      panel.open,
      canvas,
      trio,
      key,
      ...said.nodes,
      dataLink(model.get("table"), "softmax.csv", text.data),
    ),
  );
  const changes = "change:d_head change:divided change:temperature change:guess change:revealed";
  model.on(changes, draw);
  const stop = whenSized(canvas, (now) => {
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
