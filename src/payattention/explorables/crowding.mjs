// How many pairs fit into a state of fixed size. Keys k and values v are random unit vectors,
// the state is S = sum of k v^T, and the answer to a key k is the value nearest to S^T k.
// Attention keeps every pair and answers with softmax(64 k.K) V. In the formulas d is d_model.

import {
  body, button, choice, colour, dataLink, drawn, element, frame, guessFlag, guessing, line, normal, number,
  percent, say, setting, slider, spoken, uncover, uniforms, whenSized,
} from "./figure.mjs";

const TEXT = {
  question:
    "A state of {d} × {d} numbers stores pairs. How many until one answer in ten is wrong?",
  guess: "My guess:",
  reveal: "Show me",
  pairs: "{pairs} pairs",
  pair: "1 pair",
  stored: "Pairs stored:",
  size: "Size of the state:",
  square: "{d} × {d}",
  draw: "Draw other pairs",
  again: "Guess again",
  recalled: "answered right",
  axis: "pairs stored",
  guessed: "your guess {pairs}",
  plot: "Share of answers that are right against the number of pairs stored",
  hidden: "The curve is hidden until you have guessed.",
  estimate: "dashed: estimate",
  dots: "dots: your draws",
  measured: "line: measured",
  state: "Fixed state",
  attention: "Attention",
  score: "{right} of {pairs} right",
  keeps: "{numbers} numbers kept",
  waiting: "drawing …",
  finding:
    "{pairs} stored. The state keeps {state} numbers and answers {stateRight} right; " +
    "attention keeps {attention} and answers {attentionRight} right.",
  verdict: "You guessed {guess}; the estimate passes one wrong in ten after {limit}.",
  data: "The figure’s data (CSV)",
};

const MOST = 512;
const PAIRS = 90; // slider positions: ten to a doubling
const LIVE = 32; // up to this width a draw is quick enough to follow the hand
const SHARPNESS = 64; // multiplies attention's scores, in place of a learned scale
const LOST = -40; // a weight of exp(-40) beside one of 1 is below a double's last digit
const SIZES = [16, 32, 64, 128];

/** Pairs at a slider position: 1 to 512, ten positions to a doubling. */
export function pairsAt(position) {
  return Math.round(2 ** (position / 10));
}

/** Numbers that the fixed state keeps, however many pairs it has seen. */
export function stateNumbers(d) {
  return d * d;
}

/** Numbers that attention keeps: a key and a value of d numbers for each pair. */
export function attentionNumbers(d, pairs) {
  return 2 * d * pairs;
}

/** Probability that a standard normal number is below x (Abramowitz and Stegun, 7.1.26). */
export function normalBelow(x) {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = 0.5 * series * Math.exp(-z * z);
  return x > 0 ? 1 - tail : tail;
}

/**
 * Estimated share of right answers, when all scores are taken as independent and normal:
 * the right value scores 1 + noise, each of the others noise alone, the largest wins.
 */
export function expectedRecall(d, pairs) {
  if (pairs === 1) return 1;
  const right = Math.sqrt(pairs - 1) / d;
  const wrong = Math.sqrt(2 / d + (pairs - 2) / d ** 2);
  let [mean, weight] = [0, 0];
  for (let step = -24; step <= 24; step++) {
    const z = step / 4;
    const density = Math.exp((-z * z) / 2);
    mean += density * normalBelow((1 + right * z) / wrong) ** (pairs - 1);
    weight += density;
  }
  return mean / weight;
}

/** Largest number of pairs of which the estimate still gets `share` right. */
export function capacity(d, share) {
  let pairs = 1;
  while (expectedRecall(d, pairs + 1) >= share) pairs++;
  return pairs;
}

/** `count` random vectors of length one and width d, row after row. */
export function unitVectors(count, d, random) {
  const rows = new Float64Array(count * d);
  for (let start = 0; start < rows.length; start += d) {
    let squares = 0;
    for (let i = start; i < start + d; i++) {
      rows[i] = normal(random);
      squares += rows[i] ** 2;
    }
    for (let i = start; i < start + d; i++) rows[i] /= Math.sqrt(squares);
  }
  return rows;
}

function dot(a, i, b, j, d) {
  let sum = 0;
  for (let k = 0; k < d; k++) sum += a[i + k] * b[j + k];
  return sum;
}

// which of the values, all of length one, is nearest to the answer
function nearestValue(answer, values, pairs, d) {
  let [best, score] = [0, -Infinity];
  for (let i = 0; i < pairs; i++) {
    const here = dot(answer, 0, values, i * d, d);
    if (here > score) [best, score] = [i, here];
  }
  return best;
}

/** For each pair, whether a state of d x d numbers recalls its value from its key. */
export function recallFromState(keys, values, pairs, d) {
  const state = new Float64Array(d * d);
  for (let n = 0; n < pairs; n++)
    for (let i = 0; i < d; i++)
      for (let j = 0; j < d; j++) state[i * d + j] += keys[n * d + i] * values[n * d + j];
  const answer = new Float64Array(d);
  return Array.from({ length: pairs }, (_, n) => {
    answer.fill(0);
    for (let i = 0; i < d; i++)
      for (let j = 0; j < d; j++) answer[j] += state[i * d + j] * keys[n * d + i];
    return nearestValue(answer, values, pairs, d) === n;
  });
}

/** For each pair, whether softmax attention over all stored pairs recalls its value. */
export function recallFromAttention(keys, values, pairs, d) {
  const answer = new Float64Array(d);
  return Array.from({ length: pairs }, (_, n) => {
    answer.fill(0);
    for (let m = 0; m < pairs; m++) {
      // neither the largest score's shift nor the sum changes which value is nearest
      const exponent = SHARPNESS * (dot(keys, n * d, keys, m * d, d) - 1);
      if (exponent < LOST) continue;
      const weight = Math.exp(exponent);
      for (let j = 0; j < d; j++) answer[j] += weight * values[m * d + j];
    }
    return nearestValue(answer, values, pairs, d) === n;
  });
}

/** One draw of keys and values: for each pair, who recalls it. */
export function simulate(d, pairs, seed) {
  const random = uniforms(seed);
  const keys = unitVectors(pairs, d, random);
  const values = unitVectors(pairs, d, random);
  return {
    state: recallFromState(keys, values, pairs, d),
    attention: recallFromAttention(keys, values, pairs, d),
  };
}

const count = (right) => right.filter(Boolean).length;
const position = (pairs) => Math.round(10 * Math.log2(pairs));
const pairsText = (pairs, text) =>
  pairs === 1 ? text.pair : say(text.pairs, { pairs: number(pairs) });

function plot(model, text, width, draws) {
  const [d, shown] = [model.get("d_model"), model.get("revealed")];
  const chart = frame({
    width,
    height: Math.round(Math.min(340, 220 + width / 5)),
    flags: 1,
    x: {
      domain: [1, MOST],
      ticks: [1, 4, 16, 64, 256],
      log: true,
      text: String,
      label: text.axis,
    },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], text: percent, label: text.recalled },
    label: shown ? text.plot : `${text.plot}. ${text.hidden}`,
  });
  if (shown) drawCurves(chart, model, text, draws.filter((draw) => draw.d === d));
  const guess = model.get("guess");
  if (guess) guessFlag(chart, chart.along(guess), say(text.guessed, { pairs: pairsText(guess, text) }));
  return chart;
}

function drawCurves({ svg, along, up, edge }, model, text, draws) {
  const d = model.get("d_model");
  const estimate = Array.from({ length: PAIRS + 1 }, (_, i) => {
    const pairs = 2 ** (i / 10);
    return [along(pairs), up(expectedRecall(d, pairs))];
  });
  const look = { stroke: colour("recurrence"), "stroke-width": 1.5, "stroke-dasharray": "6 4" };
  svg.append(line(estimate, look));
  for (const curve of model.get("curves").filter((curve) => curve.d_model === d)) {
    const points = curve.pairs.map((pairs, i) => [along(pairs), up(curve.recalled[i])]);
    svg.append(line(points, { stroke: colour("recurrence") }));
  }
  const x = along(model.get("pairs"));
  svg.append(line([[x, edge.top], [x, edge.bottom]], { stroke: colour("ink"), "stroke-width": 1 }));
  for (const { pairs, state, attention } of draws) {
    const [cx, last] = [along(pairs), pairs === model.get("pairs")];
    const dots = [["attention", attention], ["recurrence", state]];
    for (const [idea, share] of dots)
      svg.append(
        drawn("circle", { cx, cy: up(share), r: last ? 5.5 : 3.5, fill: colour(idea) }),
      );
  }
}

// One square a pair: filled when its value comes back, hollow when it is lost.
const COLUMNS = 32;

function field(right, idea) {
  const [cell, side] = [8, 6];
  const squares = (wanted) =>
    right
      .map((hit, i) =>
        hit === wanted
          ? `M${(i % COLUMNS) * cell + 1},${Math.floor(i / COLUMNS) * cell + 1}h${side}v${side}h-${side}z`
          : "",
      )
      .join("");
  const slots = Array.from({ length: MOST - right.length }, (_, i) => {
    const slot = i + right.length;
    return `M${(slot % COLUMNS) * cell + 3},${Math.floor(slot / COLUMNS) * cell + 3}h2v2h-2z`;
  }).join("");
  const box = `0 0 ${COLUMNS * cell} ${(MOST / COLUMNS) * cell}`;
  return drawn(
    "svg",
    { viewBox: box, class: "explorable-field", "aria-hidden": "true" },
    drawn("path", { d: slots, fill: colour("grid") }),
    drawn("path", { d: squares(false), fill: "none", stroke: colour("muted"), "stroke-width": 0.8 }),
    drawn("path", { d: squares(true), fill: colour(idea) }),
  );
}

function bill(numbers, most, idea) {
  const bar = { height: 10, width: Math.max(0.5, (100 * numbers) / most), fill: colour(idea) };
  return drawn(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "explorable-bar", "aria-hidden": "true" },
    drawn("rect", { width: 100, height: 10, fill: colour("grid") }),
    drawn("rect", bar),
  );
}

/** The two ways to store, side by side: what comes back, and how much is kept for it. */
function account(model, text, outcome) {
  const [d, pairs] = [model.get("d_model"), model.get("pairs")];
  const kept = { recurrence: stateNumbers(d), attention: attentionNumbers(d, pairs) };
  const most = Math.max(stateNumbers(d), attentionNumbers(d, MOST));
  const column = (idea, name, right) =>
    element(
      "div",
      { class: "explorable-column" },
      element("p", { class: "explorable-label" }, name),
      field(right, idea),
      element(
        "p",
        { class: "explorable-note" },
        outcome
          ? say(text.score, { right: number(count(right)), pairs: number(pairs) })
          : text.waiting,
      ),
      bill(kept[idea], most, idea),
      element("p", { class: "explorable-note" }, say(text.keeps, { numbers: number(kept[idea]) })),
    );
  return [
    column("recurrence", text.state, outcome?.state ?? []),
    column("attention", text.attention, outcome?.attention ?? []),
  ];
}

function finding(model, text, outcome) {
  const [d, pairs, guess] = [model.get("d_model"), model.get("pairs"), model.get("guess")];
  const values = {
    pairs: pairsText(pairs, text),
    state: number(stateNumbers(d)),
    attention: number(attentionNumbers(d, pairs)),
    stateRight: number(count(outcome.state)),
    attentionRight: number(count(outcome.attention)),
  };
  const limit = pairsText(capacity(d, 0.9), text);
  const verdict = guess
    ? ` ${say(text.verdict, { guess: pairsText(guess, text), limit })}`
    : "";
  return say(text.finding, values) + verdict;
}

function legend(model, text) {
  const parts = [text.estimate, text.dots];
  if (model.get("curves").length) parts.push(text.measured);
  return element("p", { class: "explorable-legend" }, ...parts.map((part) => element("span", {}, part)));
}

function controls(model, text, drawAgain) {
  const set = setting(model);
  const size = choice({
    label: text.size,
    options: SIZES.map((d) => [d, say(text.square, { d })]),
    value: model.get("d_model"),
    onChange: (d) => set("d_model", Number(d)),
  });
  const pairs = slider({
    label: text.stored,
    max: PAIRS,
    position: position(model.get("pairs")),
    text: (at) => number(pairsAt(at)),
    onInput: (at) => set("pairs", pairsAt(at)),
  });
  const guess = guessing({
    label: text.guess,
    reveal: text.reveal,
    max: PAIRS,
    position: position(model.get("guess") || 8),
    text: (at) => pairsText(pairsAt(at), text),
    onGuess: (at) => set("guess", pairsAt(at)),
    onReveal: () => set("revealed", true),
  });
  const other = button(text.draw, drawAgain);
  const again = button(text.again, () => {
    set("guess", 0);
    set("revealed", false);
  });
  const open = element(
    "div",
    { class: "explorable-controls" },
    pairs.node,
    size.node,
    element("div", { class: "explorable-buttons" }, other, again),
  );
  return { guess, open, pairs, size };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const canvas = element("div", { class: "explorable-canvas" });
  const columns = element("div", { class: "explorable-columns" });
  const said = spoken();
  const key = legend(model, text);
  const draws = [];
  let [width, timer, seed] = [0, undefined, model.get("seed")];

  const panel = controls(model, text, () => {
    seed++;
    tryOut();
  });

  const draw = (outcome) => {
    if (!width) return;
    const shown = model.get("revealed");
    uncover(shown, panel.guess.node, [panel.open, columns, key], panel.pairs.input);
    const question = say(text.question, { d: model.get("d_model") });
    panel.guess.ask(question, position(model.get("guess") || 8));
    panel.pairs.show(position(model.get("pairs")));
    panel.size.input.value = model.get("d_model");
    canvas.replaceChildren(plot(model, text, width, draws).svg);
    if (shown) columns.replaceChildren(...account(model, text, outcome));
    if (!shown) said.set(text.hidden);
    else said.set(outcome ? finding(model, text, outcome) : text.waiting);
  };

  const store = () => {
    const [d, pairs] = [model.get("d_model"), model.get("pairs")];
    const outcome = simulate(d, pairs, seed);
    const share = (right) => count(right) / pairs;
    draws.push({ d, pairs, state: share(outcome.state), attention: share(outcome.attention) });
    draw(outcome);
  };

  const tryOut = () => {
    clearTimeout(timer);
    if (!model.get("revealed")) return draw();
    if (model.get("d_model") <= LIVE) return store();
    draw(); // the curve and the bill at once, the draw when the hand rests
    timer = setTimeout(store, 120);
  };

  el.append(
    body(
      model,
      panel.guess.node,
      panel.open,
      canvas,
      key,
      columns,
      ...said.nodes,
      dataLink(model.get("table"), "crowding.csv", text.data),
    ),
  );
  const changes = "change:d_model change:pairs change:guess change:revealed";
  model.on(changes, tryOut);
  const stop = whenSized(canvas, (now) => {
    width = now;
    tryOut();
  });
  return () => {
    model.off(changes, tryOut);
    clearTimeout(timer);
    said.stop();
    stop();
  };
}

export default { render };
