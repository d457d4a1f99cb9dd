// What is left of a token after it was seen: a gate multiplies the memory at each step,
// so that gate^gap of it remains.

import {
  body, button, colour, dataLink, drawn, element, flag, frame, guessFlag, guessing, line, number, percent,
  say, setting, slider, spoken, uncover, whenSized, words,
} from "./figure.mjs";

const TEXT = {
  question:
    "A gate of {gate} multiplies the memory at every step. After how many steps is half gone?",
  guess: "My guess:",
  reveal: "Show me",
  steps: "{steps} steps",
  step: "1 step",
  formula: "gate to the power of steps",
  gate: "Kept at each step (the gate):",
  gap: "Steps since the token was seen:",
  left: "left of it",
  ago: "steps ago",
  halfLife: "half-life {steps}",
  guessed: "your guess {steps}",
  remains: "{share} left",
  beyond: "below {share}",
  plot: "What is left of a token against the steps since it was seen, both on log scales",
  hidden: "The curve is hidden until you have guessed.",
  finding: "A gate of {gate} forgets half in {halfLife}. Of {token}, seen {gap} ago, {share} is left.",
  keeps: "A gate of 1 forgets nothing: of {token}, seen {gap} ago, all is left.",
  named: "“{word}”",
  unnamed: "a token",
  verdict: "You guessed {guess}.",
  passage: "What it has read, in the ink that is left",
  further: "The token is {steps} further back than this passage goes.",
  again: "Guess again",
  data: "The figure’s data (CSV)",
};

const FARTHEST = 512;
const FLOOR = 1e-6;
const GAPS = 90; // slider positions: ten to a doubling
const GATES = 100; // slider positions: 33 to a power of ten, the last one is exactly 1

/** Share of a token that is left `gap` steps later: gate ** gap. */
export function remaining(gate, gap) {
  return gate ** gap;
}

/** Steps until half is left; Infinity when the gate forgets nothing. */
export function halfLife(gate) {
  return gate === 1 ? Infinity : Math.log(0.5) / Math.log(gate);
}

/** Gate at a slider position: 0.5, ... 0.95, ... 0.995, ... and 1 at the end. */
export function gateAt(position) {
  return position >= GATES ? 1 : Number((1 - 0.5 * 10 ** (-position / 33)).toFixed(4));
}

/** Gap in steps at a slider position: 1 to 512, ten positions to a doubling. */
export function gapAt(position) {
  return Math.round(2 ** (position / 10));
}

const nearest = (value, at, last) =>
  [...Array(last + 1).keys()].reduce((best, position) =>
    Math.abs(at(position) - value) < Math.abs(at(best) - value) ? position : best,
  );

function plot(model, text, width) {
  const [gate, gap, shown] = [model.get("gate"), model.get("gap"), model.get("revealed")];
  const chart = frame({
    width,
    height: Math.round(Math.min(370, 230 + width / 5)),
    flags: 2,
    x: {
      domain: [1, FARTHEST],
      ticks: [1, 4, 16, 64, 256],
      log: true,
      text: String,
      label: text.ago,
    },
    y: {
      domain: [FLOOR, 1],
      ticks: [1, 1e-2, 1e-4, 1e-6],
      log: true,
      text: percent,
      label: text.left,
    },
    label: shown ? text.plot : `${text.plot}. ${text.hidden}`,
  });
  if (shown) {
    drawMeasured(chart, model.get("curves"));
    drawCurve(chart, gate, text);
  }
  const guess = model.get("guess");
  if (guess) guessFlag(chart, chart.along(guess), say(text.guessed, { steps: stepsText(guess, text) }));
  if (shown) drawToken(chart, gate, gap, text);
  return chart;
}

function drawCurve(chart, gate, text) {
  const { svg, along, up } = chart;
  // stop where the curve leaves the frame through the floor
  const last = gate === 1 ? FARTHEST : Math.min(FARTHEST, Math.log(FLOOR) / Math.log(gate));
  const points = Array.from({ length: 121 }, (_, i) => {
    const at = Math.max(1, last) ** (i / 120);
    return [along(at), up(Math.max(FLOOR, remaining(gate, at)))];
  });
  svg.append(line(points, { stroke: colour("recurrence"), "stroke-width": 3 }));
  const half = halfLife(gate);
  if (half > FARTHEST) return;
  const look = { idea: "recurrence", "stroke-width": 1.5, "stroke-dasharray": "5 4" };
  flag(chart, along(half), say(text.halfLife, { steps: stepsText(half, text) }), 1, look);
}

function drawToken({ svg, along, up, edge }, gate, gap, text) {
  const share = remaining(gate, gap);
  const [x, y] = [along(gap), up(Math.max(FLOOR, share))];
  // above and right of the curve where there is room, else below and left of it
  const right = x < edge.right - 100;
  const template = share < FLOOR ? text.beyond : text.remains;
  const label = say(template, { share: percent(Math.max(FLOOR, share)) });
  const height = Math.min(Math.max(right ? y - 10 : y + 22, edge.top + 16), edge.bottom - 8);
  svg.append(line([[x, edge.top], [x, edge.bottom]], { stroke: colour("ink"), "stroke-width": 1 }));
  svg.append(drawn("circle", { cx: x, cy: y, r: 6, fill: colour("ink") }));
  const anchor = right ? "start" : "end";
  svg.append(words(label, x + (right ? 10 : -10), height, { anchor, strong: true }));
}

const DASHES = ["none", "7 4", "2 4", "9 3 2 3"];

function drawMeasured({ svg, along, up }, curves) {
  curves.forEach(({ gaps, norms }, i) => {
    const inside = gaps.flatMap((gap, j) =>
      gap >= 1 && gap <= FARTHEST && norms[j] >= FLOOR ? [[along(gap), up(Math.min(1, norms[j]))]] : [],
    );
    const look = { stroke: colour("muted"), "stroke-width": 1.5, "stroke-dasharray": DASHES[i % 4] };
    if (inside.length > 1) svg.append(line(inside, look));
  });
}

function legend(curves, text) {
  const entry = (name, look) => {
    const sample = drawn("svg", { width: 30, height: 10, "aria-hidden": "true" });
    sample.append(line([[0, 5], [30, 5]], look));
    return element("span", {}, sample, ` ${name}`);
  };
  const measured = curves.map(({ name }, i) =>
    entry(name, { stroke: colour("muted"), "stroke-dasharray": DASHES[i % 4] }),
  );
  const formula = entry(text.formula, { stroke: colour("recurrence"), "stroke-width": 3 });
  return element("p", { class: "explorable-legend" }, formula, ...measured);
}

const stepsText = (steps, text) =>
  steps === 1 ? text.step : say(text.steps, { steps: number(steps) });

/** The passage: each word in the ink that is left of it, the last word one step ago. */
function inked(passage, text) {
  // a picture of words, drawn by the style sheet: faint on purpose, and not there for a screen reader
  const spans = passage.split(/\s+/).map((word) => element("span", { "data-word": word }));
  const page = element("p", { class: "explorable-passage", "aria-hidden": "true" });
  page.append(...spans.flatMap((span) => [span, " "]));
  const further = element("p", { class: "explorable-note" });
  const ink = (gate, gap) => {
    spans.forEach((span, i) => {
      const ago = spans.length - i;
      span.style.setProperty("--left", remaining(gate, ago));
      span.classList.toggle("explorable-token", ago === gap);
    });
    const beyond = gap - spans.length;
    further.textContent = beyond > 0 ? say(text.further, { steps: stepsText(beyond, text) }) : "";
  };
  const label = { class: "explorable-label", "aria-hidden": "true" };
  return { nodes: [element("p", label, text.passage), page, further], ink };
}

function tokenText(passage, gap, text) {
  const word = passage.split(/\s+/).at(-gap)?.replace(/[.,:;—]+$/, "");
  return word ? say(text.named, { word }) : text.unnamed;
}

function finding(model, text) {
  const [gate, gap] = [model.get("gate"), model.get("gap")];
  const said = gate === 1 ? text.keeps : text.finding;
  const guess = model.get("guess");
  const values = {
    gate: String(gate),
    gap: stepsText(gap, text),
    token: tokenText(model.get("passage"), gap, text),
    halfLife: stepsText(halfLife(gate), text),
    share: percent(remaining(gate, gap)),
  };
  const verdict = guess ? ` ${say(text.verdict, { guess: stepsText(guess, text) })}` : "";
  return say(said, values) + verdict;
}

function controls(model, text) {
  const set = setting(model);
  const gate = slider({
    label: text.gate,
    max: GATES,
    position: nearest(model.get("gate"), gateAt, GATES),
    text: (position) => String(gateAt(position)),
    onInput: (position) => set("gate", gateAt(position)),
  });
  const gap = slider({
    label: text.gap,
    max: GAPS,
    position: nearest(model.get("gap"), gapAt, GAPS),
    text: (position) => number(gapAt(position)),
    onInput: (position) => set("gap", gapAt(position)),
  });
  const guess = guessing({
    label: text.guess,
    reveal: text.reveal,
    max: GAPS,
    position: nearest(model.get("guess") || 8, gapAt, GAPS),
    text: (position) => stepsText(gapAt(position), text),
    onGuess: (position) => set("guess", gapAt(position)),
    onReveal: () => set("revealed", true),
  });
  const again = button(text.again, () => {
    set("guess", 0);
    set("revealed", false);
  });
  const open = element("div", { class: "explorable-controls" }, gate.node, gap.node, again);
  return { guess, open, gate, gap, set };
}

// the drawing can be dragged as well; the slider stays the way for keyboard and screen reader
function draggable(canvas, chart, set) {
  const move = (event) => {
    const { left } = canvas.getBoundingClientRect();
    const { edge } = chart();
    const share = (event.clientX - left - edge.left) / (edge.right - edge.left);
    set(gapAt(Math.round(GAPS * Math.min(1, Math.max(0, share)))));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!chart()) return;
    canvas.setPointerCapture(event.pointerId);
    move(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) move(event);
  });
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const canvas = element("div", { class: "explorable-canvas explorable-drag" });
  const passage = inked(model.get("passage"), text);
  const said = spoken();
  const panel = controls(model, text);
  const key = legend(model.get("curves"), text);
  let width = 0;
  let chart;

  const draw = () => {
    if (!width) return;
    const shown = model.get("revealed");
    uncover(shown, panel.guess.node, [panel.open, key], panel.gate.input);
    const guess = nearest(model.get("guess") || 8, gapAt, GAPS);
    panel.guess.ask(say(text.question, { gate: model.get("gate") }), guess);
    panel.gap.show(nearest(model.get("gap"), gapAt, GAPS));
    panel.gate.show(nearest(model.get("gate"), gateAt, GATES));
    chart = plot(model, text, width);
    canvas.replaceChildren(chart.svg);
    passage.ink(shown ? model.get("gate") : 1, shown ? model.get("gap") : 0);
    said.set(shown ? finding(model, text) : text.hidden);
  };

  const root = body(
    model,
    panel.guess.node,
    panel.open,
    canvas,
    key,
    ...said.nodes,
    ...passage.nodes,
    dataLink(model.get("table"), "fading.csv", text.data),
  );
  el.append(root);
  const act = () => (model.get("revealed") ? "gap" : "guess");
  draggable(canvas, () => chart, (gap) => panel.set(act(), gap));
  model.on("change:gate change:gap change:guess change:revealed", draw);
  const stop = whenSized(canvas, (now) => {
    width = now;
    draw();
  });
  return () => {
    model.off("change:gate change:gap change:guess change:revealed", draw);
    said.stop();
    stop();
  };
}

export default { render };
