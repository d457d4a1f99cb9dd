// A machine that says after each step how much of its answer to take from here, and halts when it has given enough: by
// ACT or by PonderNet. All that it says to every vector was measured in Python; here a reader takes it step by step.

import {
  body, button, choice, colour, csvAddress, dataLink, drawn, element, frame, heading, line, percent, say, slider,
  spoken, whenSized, words,
} from "./figure.mjs";

const TEXT = {
  rule: "Rule:",
  places: "Places that are not zero:",
  vector: "The vector; press a place to turn it:",
  place: "Place {number}: {sign}",
  step: "Step:",
  next: "Next step",
  again: "From step 1 again",
  reset: "Start again",
  guess: "Before each step, guess: does it halt there? And what would it answer?",
  odd: "odd",
  even: "even",
  says: "{parity} with {sure}",
  ones: "Ones: {ones} of {places}, so the right answer is {parity}.",
  given: { ACT: "the cell has given {given} of its answer", PonderNet: "{given} of its shares are spent" },
  going: "{ones} After step {step}, {given}; this state says {state}.",
  halted: {
    ACT: "{ones} ACT halts at step {step}. This state says {state}; the answer, a mixture of all states, says {answer}, which is {verdict}. It costs N\u00a0+\u00a0R\u00a0=\u00a0{step}\u00a0+\u00a0{rest}\u00a0=\u00a0{cost}.",
    PonderNet: "{ones} PonderNet halts at step {step}. This state is the answer: {answer}, which is {verdict}.",
  },
  right: "right",
  wrong: "wrong",
  less: "{sum}, less than 1\u00a0−\u00a0ε\u00a0=\u00a00.99",
  on: "{less}: it goes on.",
  left: "what is left, R\u00a0=\u00a01\u00a0−\u00a0{before}\u00a0=\u00a0{rest}",
  enough: "{sum}, at least 1\u00a0−\u00a0ε\u00a0=\u00a00.99: it halts. The last step is given {left}.",
  stopped: "{less}, but no further step is allowed. This one is given {left}.",
  chance: "Its chance to halt now is {chance}, if it has not before: {chance} × {left} ≈ {share}. Spent are {before} + {share} = {after}, {ends}",
  under: "less than half: it goes on.",
  half: "half or more: it halts.",
  tally: "{rule} answers {right} of {many} vectors rightly, in {least} to {most} steps, {mean} on average; with {zero}, {some}.",
  zero: "{places} places that are not zero",
  zeroOne: "1 place that is not zero",
  bar: "{rule}, given so far: {told}; {left}",
  barStep: "{given} at step {step}",
  barLeft: "{left} is left",
  barDone: "nothing is left",
  barSpared: "{left} is not reached",
  enoughMark: { ACT: "1 − ε", PonderNet: "half" },
  short: "step {step}",
  remainder: "step {step}, the remainder",
  open: "{left} left",
  steps: "What it says, step by step",
  heads: { ACT: ["step", "amount", "sum", "given", "“odd”"], PonderNet: ["step", "chance", "left", "share", "“odd”"] },
  key: {
    ACT: "Amount: what the halting unit says. Given: what the step is given of the answer. “Odd”: the chance of it by the state of that step alone.",
    PonderNet: "Chance: to halt now, if not before. Share: chance × what is left. “Odd”: the chance of it by the state of that step alone.",
  },
  all: "All {many} vectors",
  chart: "{rule}, steps by the number of places that are not zero, mean and range: {told}",
  chartPart: "{places}: {mean} ({least} to {most})",
  across: "places that are not zero",
  up: "steps",
  discs: "A disc is as large as its vectors are many; the stroke is their mean. This vector is ringed once it has halted.",
  address: "The address of this page holds what you choose, to be kept or shared.",
  data: "All steps of all vectors by this rule, as numbers (CSV)",
};

const CHOSEN = ["rule", "vector", "step"];
const SIGNS = { "+": 1, "-": -1, 0: 0 };
const ENOUGH = { ACT: 99, PonderNet: 50 }; // hundredths that are given before a cell halts: 1 - ε, and half
const [HUNDRED, THOUSAND] = [100, 1000];
const FEW = 6; // numbers of a sum that are all written out
const LETTER = 7; // about what a letter takes

// What is chosen. `known` holds the runs of every rule and vector, how many places there are, and the most steps.

const textOf = (vector) => vector.map((place) => (place === 1 ? "+" : "-")).join("");
const isOdd = (text) => text.split("+").length % 2 === 0;

/** What cannot be: the names of such values. */
export function faults({ rule, vector, step }, { runs, bits, most }) {
  const signs = Array.isArray(vector) && vector.every((place) => place === 1 || place === -1);
  const right = {
    rule: Object.hasOwn(runs, rule),
    vector: signs && vector.length >= 1 && vector.length <= bits,
    step: Number.isInteger(step) && step >= 1 && step <= most,
  };
  return CHOSEN.filter((name) => !right[name]);
}

/** The steps of the vector by the rule, how many of them are taken, and whether these are all. */
function runOf({ rule, vector, step }, { runs }) {
  const { steps, answer } = runs[rule][textOf(vector)];
  const taken = Math.min(step, steps.length);
  return { steps, answer, taken, halted: taken === steps.length };
}

// The address: #halting_machine?rule=PonderNet&vector=1,-1,1&step=3, with what differs from how the figure opened

const MARK = "#halting_machine?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => String(chosen[name]) !== String(opened[name]));
  return kept.length ? MARK + kept.map((name) => `${name}=${chosen[name]}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const number = (value) => (value.trim() ? Number(value) : NaN);
  const read = { rule: String, vector: (value) => value.split(",").map(number), step: number };
  const now = { ...opened };
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length)))
    if (CHOSEN.includes(name)) now[name] = read[name](value);
  for (const name of faults(now, known)) now[name] = opened[name];
  return now;
}

// What is said

const decimal = (hundredths) => (hundredths / HUNDRED).toFixed(2);
const total = (numbers) => numbers.reduce((sum, one) => sum + one, 0);
const givenBy = (steps, step) => total(steps.slice(0, step).map(([, share]) => share));
const parityOf = (odd, text) => (odd ? text.odd : text.even);

/** What thousandths of "odd" come to. */
function said(odd, text) {
  const is = odd >= THOUSAND / 2;
  return say(text.says, { parity: parityOf(is, text), sure: percent((is ? odd : THOUSAND - odd) / THOUSAND) });
}

/** To one decimal; one in the middle goes up. */
function meanOf(depths) {
  const tenths = Math.floor((20 * total(depths) + depths.length) / (2 * depths.length));
  return (tenths / 10).toFixed(1);
}

/** The right answer, and where the machine stands. */
export function sentence(chosen, known, text = TEXT) {
  const { rule, vector } = chosen;
  const { steps, answer, taken: step, halted } = runOf(chosen, known);
  const ones = vector.filter((place) => place === 1).length;
  const right = ones % 2 === 1;
  const values = {
    ones: say(text.ones, { ones, places: vector.length, parity: parityOf(right, text) }),
    step, state: said(steps[step - 1][2], text),
  };
  if (!halted) {
    const given = say(text.given[rule], { given: decimal(givenBy(steps, step)) });
    return say(text.going, { ...values, given });
  }
  const rest = steps[step - 1][1];
  return say(text.halted[rule], {
    ...values, answer: said(answer, text), verdict: answer >= THOUSAND / 2 === right ? text.right : text.wrong,
    rest: decimal(rest), cost: decimal(HUNDRED * step + rest),
  });
}

/** Why the machine goes on, or halts. */
export function reckoning(chosen, known, text = TEXT) {
  const { steps, taken, halted } = runOf(chosen, known);
  if (chosen.rule === "ACT") return added(steps.slice(0, taken).map(([amount]) => amount), halted, text);
  const [chance, share] = steps[taken - 1];
  const after = givenBy(steps, taken);
  const values = { chance, share, after, before: after - share, left: HUNDRED - after + share };
  const told = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, decimal(value)]));
  return say(text.chance, { ...told, ends: halted ? text.half : text.under });
}

/** The sum of ACT's amounts, against 1 - ε. */
function added(amounts, halted, text) {
  const terms = amounts.map(decimal);
  const few = terms.length > FEW ? [...terms.slice(0, 2), "…", terms.at(-1)] : terms;
  const sum = few.join(" + ") + (terms.length > 1 ? ` = ${decimal(total(amounts))}` : "");
  const less = say(text.less, { sum });
  if (!halted) return say(text.on, { less });
  const before = total(amounts.slice(0, -1));
  const left = say(text.left, { before: decimal(before), rest: decimal(HUNDRED - before) });
  return say(total(amounts) < ENOUGH.ACT ? text.stopped : text.enough, { sum, less, left });
}

/** How often the rule is right over all vectors, and in how many steps. */
export function tally({ rule, vector }, { runs }, text = TEXT) {
  const all = Object.entries(runs[rule]);
  const depths = all.map(([, { steps }]) => steps.length);
  const some = all.filter(([one]) => one.length === vector.length).map(([, { steps }]) => steps.length);
  return say(text.tally, {
    rule, many: all.length, right: all.filter(([one, { answer }]) => answer >= THOUSAND / 2 === isOdd(one)).length,
    least: Math.min(...depths), most: Math.max(...depths), mean: meanOf(depths), some: meanOf(some),
    zero: vector.length === 1 ? text.zeroOne : say(text.zero, { places: vector.length }),
  });
}

/** Every step of every vector by the rule as CSV. */
export function csv({ rule }, { runs, bits }) {
  const rows = Object.entries(runs[rule]).flatMap(([one, { steps, answer }]) =>
    steps.map(([amount, share, odd], place) => {
      const ends = place === steps.length - 1 ? answer / THOUSAND : "";
      const vector = [...one.padEnd(bits, "0")].map((sign) => SIGNS[sign]).join(" ");
      return [rule, vector, place + 1, decimal(amount), decimal(share), odd / THOUSAND, ends].join() + "\n";
    }),
  );
  return "rule,vector,step,amount,share,odd,answer\n" + rows.join("");
}

// What is drawn

/** The shares of the steps so far, one behind the other, up to 1; a mark stands where they are enough. */
function bar(chosen, known, { width, text }) {
  const { rule } = chosen;
  const { steps, taken, halted } = runOf(chosen, known);
  const [top, high] = [22, 30];
  const svg = drawn("svg", { width, height: top + high + 24, role: "img" });
  const x = (hundredths) => 1 + ((width - 2) * hundredths) / HUNDRED;
  svg.append(drawn("rect", { x: 1, y: top, width: width - 2, height: high, fill: colour("grid"), "fill-opacity": 0.4 }));
  let [given, many] = [0, 0];
  const [told, named] = [[], []]; // in words, and as words that stand above all else
  for (const [place, [, share]] of steps.slice(0, taken).entries()) {
    const [from, to] = [x(given), x(given + share)];
    const step = place + 1;
    const room = to - from;
    const gap = room > 3 ? 1 : 0; // of paper between two segments
    const look = { fill: colour("recurrence"), "fill-opacity": many % 2 ? 0.7 : 0.3 };
    if (share) svg.append(drawn("rect", { x: from, y: top, width: room - gap, height: high, ...look }));
    if (share) many += 1;
    const middle = (from + to) / 2;
    if (room > 4.6 * LETTER) named.push(words(decimal(share), middle, top + high / 2 + 4.5, { anchor: "middle" }));
    const names = [say(text.short, { step }), String(step)];
    if (rule === "ACT" && halted && step === taken) names.unshift(say(text.remainder, { step }));
    const name = names.find((one) => LETTER * one.length < room);
    if (name) named.push(words(name, middle, top + high + 17, { anchor: "middle", muted: true }));
    told.push(say(text.barStep, { given: decimal(share), step }));
    given += share;
  }
  const rest = decimal(HUNDRED - given);
  const free = x(HUNDRED) - x(given);
  const open = say(text.open, { left: rest });
  if (free > LETTER * open.length) {
    const middle = (x(HUNDRED) + x(given)) / 2;
    named.push(words(open, middle, top + high / 2 + 4.5, { anchor: "middle", muted: true }));
  }
  const mark = x(ENOUGH[rule]);
  svg.append(line([[mark, top - 5], [mark, top + high + 3]], { stroke: colour("ink") }));
  svg.append(...named, words(text.enoughMark[rule], mark, top - 9, { anchor: rule === "ACT" ? "end" : "middle" }));
  const ends = given === HUNDRED ? text.barDone : halted ? text.barSpared : text.barLeft;
  svg.setAttribute("aria-label", say(text.bar, { rule, told: told.join(", "), left: say(ends, { left: rest }) }));
  return svg;
}

/** A row for each step that may be taken, empty until it is; it holds no more than the reader has seen. */
function table(chosen, known, text) {
  const { rule } = chosen;
  const { steps, taken, halted } = runOf(chosen, known);
  const cell = (...inside) => element("td", {}, ...inside);
  const rows = Array.from({ length: known.most }, (_, place) => {
    const name = element("th", { scope: "row" }, String(place + 1));
    if (place >= taken) return element("tr", {}, name, ...Array.from({ length: 4 }, () => cell("·")));
    const [amount, share, odd] = steps[place];
    const before = givenBy(steps, place);
    const ends = halted && place === taken - 1;
    const sums = rule === "ACT" ? before + amount : HUNDRED - before;
    const row = element("tr", {}, name, cell(decimal(amount)), cell(decimal(sums)), cell(decimal(share)));
    row.append(cell(chances(odd), element("span", {}, percent(odd / THOUSAND))));
    if (ends) row.dataset.halts = "";
    return row;
  });
  const heads = text.heads[rule].map((head) => element("th", { scope: "col" }, head));
  const top = element("thead", {}, element("tr", {}, ...heads));
  const whole = element("table", { class: "explorable-halting" }, element("caption", {}, text.steps), top);
  whole.append(element("tbody", {}, ...rows));
  return whole;
}

/** A small bar: how much of it is "odd". */
function chances(odd) {
  const svg = drawn("svg", { width: 44, height: 10, "aria-hidden": "true" });
  svg.append(drawn("rect", { width: 44, height: 10, fill: colour("grid"), "fill-opacity": 0.6 }));
  svg.append(drawn("rect", { width: (44 * odd) / THOUSAND, height: 10, fill: colour("recurrence") }));
  return svg;
}

/** How many vectors take how many steps, by how many places are not zero. */
function overview(chosen, known, { width, text }) {
  const { runs, bits, most } = known;
  const { taken, halted } = runOf(chosen, known);
  const groups = Array.from({ length: bits }, (_, place) => {
    const of = Object.entries(runs[chosen.rule]).filter(([one]) => one.length === place + 1);
    return of.map(([, { steps }]) => steps.length);
  });
  const told = groups.map((depths, place) => {
    const [least, top] = [Math.min(...depths), Math.max(...depths)];
    return say(text.chartPart, { places: place + 1, mean: meanOf(depths), least, most: top });
  });
  const counts = (length) => Array.from({ length }, (_, place) => place + 1);
  const made = frame({
    width, height: 72 + 26 * most, flags: 0,
    x: { domain: [0.5, bits + 0.5], ticks: counts(bits), text: String, label: text.across },
    y: { domain: [0.5, most + 0.5], ticks: counts(most), text: String, label: text.up },
    label: say(text.chart, { rule: chosen.rule, told: told.join("; ") }),
  });
  const { svg, along, up, edge } = made;
  const wide = (edge.right - edge.left) / bits;
  const here = along(chosen.vector.length);
  const band = { x: here - 0.45 * wide, y: edge.top, width: 0.9 * wide, height: edge.bottom - edge.top, rx: 3 };
  svg.prepend(drawn("rect", { ...band, fill: colour("grid"), "fill-opacity": 0.6 }));
  const tallies = groups.map((depths) => counts(most).map((depth) => depths.filter((one) => one === depth).length));
  const largest = Math.max(...tallies.flat());
  const radius = (many) => 11.5 * Math.sqrt(many / largest);
  tallies.forEach((row, group) => row.forEach((many, place) => {
    const at = { cx: along(group + 1), cy: up(place + 1) };
    const paint = { fill: colour("recurrence"), "fill-opacity": 0.55, stroke: colour("recurrence") };
    if (many) svg.append(drawn("circle", { ...at, r: Math.max(1.5, radius(many)), ...paint }));
  }));
  groups.forEach((depths, group) => {
    const [x, y] = [along(group + 1), up(total(depths) / depths.length)];
    svg.append(line([[x - 0.3 * wide, y], [x + 0.3 * wide, y]], { stroke: colour("ink"), "stroke-width": 2.5 }));
  });
  if (halted) {
    const ring = { cx: here, cy: up(taken), r: radius(tallies[chosen.vector.length - 1][taken - 1]) + 3 };
    svg.append(drawn("circle", { ...ring, fill: "none", stroke: colour("ink"), "stroke-width": 2 }));
  }
  return svg;
}

/** The places of the vector, a button each; behind the last 1 or −1 there are zeros. */
function places(text, bits, turn) {
  const buttons = Array.from({ length: bits }, (_, place) => button("", () => turn(place)));
  const legend = element("legend", { class: "explorable-label" }, text.vector);
  const node = element("fieldset", { class: "explorable-signs" }, legend, ...buttons);
  const show = (vector) =>
    buttons.forEach((one, place) => {
      const sign = place < vector.length ? String(vector[place]).replace("-", "−") : "0";
      one.textContent = sign;
      one.disabled = place >= vector.length;
      one.dataset.sign = sign;
      one.setAttribute("aria-label", say(text.place, { number: place + 1, sign }));
    });
  return { node, show };
}

let figures = 0; // on this page: the first one has the address

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(["runs", "bits", "most"].map((name) => [name, model.get(name)]));
  const { runs, bits, most } = known;
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, timer, busy, counted] = [0, 0, false, tally(opened, known, text)];

  const other = (changes) => show({ ...chosen, ...changes, step: 1 }); // what comes is hidden once more
  const rule = choice({
    label: text.rule, options: Object.keys(runs).map((one) => [one, one]), value: chosen.rule,
    onChange: (value) => other({ rule: value }),
  });
  const long = slider({
    label: text.places, max: bits - 1, position: chosen.vector.length - 1, text: (position) => String(position + 1),
    onInput: (position) => {
      const added = Array(bits).fill(1);
      other({ vector: [...chosen.vector, ...added].slice(0, position + 1) });
    },
  });
  const vector = places(text, bits, (place) =>
    other({ vector: chosen.vector.map((sign, at) => (at === place ? -sign : sign)) }));
  const step = slider({
    label: text.step, max: most - 1, position: chosen.step - 1, text: (position) => String(position + 1),
    onInput: (position) => show({ ...chosen, step: position + 1 }),
  });
  const onwards = button("", () => {
    const { taken, halted } = runOf(chosen, known);
    show({ ...chosen, step: halted ? 1 : taken + 1 });
  });
  onwards.classList.add("explorable-onwards");
  const heard = spoken();
  const sum = element("p", { class: "explorable-note explorable-reckoning" });
  const canvas = element("div", { class: "explorable-canvas" });
  const listed = element("div", {});
  const meaning = element("p", { class: "explorable-note" });
  const chart = element("div", { class: "explorable-canvas" });
  const counts = element("p", { class: "explorable-note" });
  const link = dataLink(model.get("table"), "halting_machine.csv", text.data);

  /** Shows what is chosen now, and keeps it in the model and in the address. */
  const show = (wanted) => {
    chosen = { ...wanted, step: runOf(wanted, known).taken };
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
    const { taken, halted } = runOf(chosen, known);
    rule.input.value = chosen.rule;
    long.show(chosen.vector.length - 1);
    vector.show(chosen.vector);
    step.show(taken - 1);
    onwards.textContent = halted ? text.again : text.next;
    canvas.replaceChildren(bar(chosen, known, { width, text }));
    listed.replaceChildren(table(chosen, known, text));
    meaning.textContent = text.key[chosen.rule];
    chart.replaceChildren(overview(chosen, known, { width: Math.floor(chart.clientWidth), text }));
    sum.textContent = reckoning(chosen, known, text);
    const now = tally(chosen, known, text);
    heard.set(sentence(chosen, known, text), now === counted ? sum.textContent : `${sum.textContent} ${now}`);
    counts.textContent = counted = now;
    link.firstChild.href = csvAddress(csv(chosen, known));
  };

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

  const note = (words) => element("p", { class: "explorable-note" }, words);
  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  const reset = button(text.reset, () => show({ ...opened }));
  const all = heading(say(text.all, { many: Object.keys(runs[chosen.rule]).length }), "");
  el.append(
    body(
      model,
      rows(rule.node, long.node),
      rows(vector.node, step.node),
      element("div", { class: "explorable-buttons" }, onwards, reset),
      element("p", { class: "explorable-note explorable-wager" }, text.guess),
      element("div", { class: "explorable-halts" }, ...heard.nodes, sum),
      canvas,
      element("div", { class: "explorable-sheets" },
        element("div", {}, listed, meaning), element("div", {}, all, chart, note(text.discs), counts)),
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
    heard.stop();
    unsized();
  };
}

export default { render };
