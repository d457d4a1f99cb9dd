// What a budget of operations buys by a scaling law: the curve of the loss against the size, its advised size,
// days and dollars. The formulas stand in `laws.mjs`; here a reader chooses, and sees it.

import {
  among, body, button, choice, colour, csvAddress, dataLink, drawn, DOTTED, element, frame, heading, line, percent,
  say, spoken, whenSized, words,
} from "./figure.mjs";
import { amount, dollarsText, quantity } from "./quantities.mjs";
import { flopsFactor, flopsFor, leastLoss, lossOf, lowestOf, optimumOf } from "./laws.mjs";

const TEXT = {
  law: "Law:",
  stock: "Text that there is to read:",
  flops: "Budget:",
  size: "Size of the model:",
  accelerator: "On:",
  accelerators: "How many:",
  reset: "Start again",
  address: "The address of this page holds what you choose, to be kept or shared.",
  operations: "{flops} operations",
  advised: "as advised",
  times: "{times} times the advised",
  finding: "By {law}, {flops} operations are best spent on {parameters} parameters and {tokens} tokens, {ratio} for each parameter: a loss of {loss} {unit}.",
  passes: "Each token is read {times} times.",
  beyond: "The budget is {times} times the largest of the law’s own runs.",
  below: "The smallest of the law’s own runs took {times} times as much.",
  drawing: "Loss of models of any size for a budget of {flops} operations: lowest, {loss}, near {parameters} parameters",
  axis: "parameters",
  loss: "loss, {unit}",
  tenth: "a tenth",
  ten: "10 times",
  hundred: "100 times",
  here: "this budget",
  yours: "your size",
  key: "Each curve is one budget; the dotted line joins the sizes that the law advises.",
  keyRuns: "The other dots are the book’s own runs.",
  keyMore: "They cost {least} to {most} more than 6 N D, so that they saw less text than their curves suppose and lie above them.",
  bought: "A model of {parameters} parameters",
  boughtLoss: "loss {loss}, {more}",
  reaches: "The advised size reaches this loss with {share} of the budget: {waste} is wasted.",
  needs: "The advised size takes {times} times the budget to reach this loss.",
  asAdvised: "Move the size, or drag the drawing, to see what another one costs.",
  spent: "On {many} {name}, at {share} of the peak",
  noPrice: "no price known",
  halving: "Loss half as far above its floor, {floor}",
  halvingAll: "Half the loss, which has no floor here",
  grows: "{times} times the budget",
  never: "no budget: it ends at {least}",
  twoFits: "Its authors found the advised size in other runs than the curve, which is lowest at {times} times that size.",
  letters: "{name} counts {parameters}; {tokens}; {flops}. Its runs: {runs}. Source: {source}.",
  source: "{name}: {source}.",
  price: "Rent, ${dollars} an hour: {source}.",
  data: "What is drawn, as numbers (CSV)",
};

const CHOSEN = ["law_name", "flops", "size", "stock", "accelerator", "accelerators"];
const BESIDE = [[0.1, "tenth"], [10, "ten"], [100, "hundred"]]; // other budgets: multiples, and their names
const BEYOND_RUNS = 1.05; // times the largest run, from which on a budget is said to lie beyond
const RUN_TO_SPARE = 10; // how far from the runs of the book they are still drawn
const [TO_A_DECADE, SIZES_TO_A_DECADE] = [10, 20]; // positions of the sliders

const roundTo = (value, digits) => Number(value.toPrecision(digits));
const about = (value) => amount(roundTo(value, 3)); // in words, with three digits wherever there are more
const flopsAt = (position) => roundTo(10 ** (10 + position / TO_A_DECADE), 2);
const sizeAt = (position) => roundTo(10 ** (position / SIZES_TO_A_DECADE - 2), 2);

// What is chosen. `chosen` holds what `CHOSEN` names, `known` the figure's data.

const listed = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

/** What cannot be: the names of such values. */
export function faults(chosen, { laws, stocks, machines, ranges }) {
  const within = (name) => chosen[name] >= ranges[name][0] && chosen[name] <= ranges[name][1];
  const fine = {
    law_name: listed(laws, chosen.law_name), stock: listed(stocks, chosen.stock),
    accelerator: listed(machines, chosen.accelerator), flops: within("flops"), size: within("size"),
    accelerators: Number.isInteger(chosen.accelerators) && within("accelerators"),
  };
  return CHOSEN.filter((name) => !fine[name]);
}

/** What follows a change: a law whose runs have nothing in common with the last one's brings its own budget. */
export function changed(chosen, changes, { laws }) {
  const now = { ...chosen, ...changes };
  const [before, after] = [chosen, now].map(({ law_name }) => listed(laws, law_name)?.meaning);
  if (!before || !after || changes.flops !== undefined || !before.most_flops || !after.most_flops) return now;
  const least = (meaning) => meaning.least_flops ?? meaning.most_flops / 1e6;
  const apart = least(before) > after.most_flops || least(after) > before.most_flops;
  return apart ? { ...now, flops: after.most_flops } : now;
}

/** The question that the figure answers. */
export function asked(chosen, { laws, stocks, machines, runs }) {
  const law = laws[chosen.law_name];
  const unique = law.kind === "repeated" ? stocks[chosen.stock].tokens : null;
  const budgets = chosen.law_name === "book" ? runs.map((run) => run.budget) : [];
  const near =
    Math.min(...budgets) / RUN_TO_SPARE <= chosen.flops && chosen.flops <= RUN_TO_SPARE * Math.max(...budgets);
  return { ...chosen, law, unique, runs: near ? runs : [], machine: machines[chosen.accelerator] };
}

// The address: #budget?law_name=kaplan&flops=1e24, with what differs from how the figure opened

const MARK = "#budget?";

/** The fragment that holds what was chosen; empty for what the figure opens with. */
export function toAddress(chosen, opened) {
  const kept = CHOSEN.filter((name) => chosen[name] !== opened[name]);
  return kept.length ? MARK + kept.map((name) => `${name}=${encodeURIComponent(chosen[name])}`).join("&") : "";
}

/** What a fragment asks for, on top of how the figure opened; what is wrong in it is left out. */
export function fromAddress(fragment, opened, known) {
  if (!fragment.startsWith(MARK)) return opened;
  const changes = {};
  for (const [name, value] of new URLSearchParams(fragment.slice(MARK.length))) {
    if (!CHOSEN.includes(name)) continue;
    changes[name] = typeof opened[name] !== "number" ? value : value.trim() ? Number(value) : NaN;
  }
  for (const name of faults({ ...opened, ...changes }, known)) delete changes[name];
  return changed(opened, changes, known);
}

// What follows from it

const spentOn = (flops, tokens) => flops / 6 / tokens; // parameters, or tokens of so many parameters
const at = ({ law, unique }, flops, parameters) => {
  const tokens = spentOn(flops, parameters);
  return { parameters, tokens, loss: lossOf(law, parameters, tokens, unique) };
};

/** All that is said: what is advised and bought, what it is worth and takes. */
export function answer(question, utilisation) {
  const { law, flops, size, unique, machine, accelerators } = question;
  const advised = optimumOf(law, flops, unique);
  const bought = at(question, flops, size * advised.parameters);
  const forLoss = (loss) => {
    const needed = flopsFor(law, loss, unique);
    return needed === null ? null : needed / flops;
  };
  const seconds = flops / (machine.flops_per_second * utilisation * accelerators);
  const { dollars_per_hour: price } = machine;
  return {
    advised,
    bought,
    worth: forLoss(bought.loss),
    halving: unique === null ? flopsFactor(law) : forLoss((law.E + advised.loss) / 2),
    seconds,
    dollars: price === null ? null : (seconds / 3600) * price * accelerators,
  };
}

/** The advice in words, and a warning where the law's own runs are far. */
export function sentence({ law, flops, unique }, text = TEXT) {
  const { parameters, tokens, loss } = optimumOf(law, flops, unique);
  const { name, loss: unit, least_flops: least, most_flops: most } = law.meaning;
  const said = [
    say(text.finding, {
      law: name, flops: about(flops), parameters: about(parameters), tokens: about(tokens),
      ratio: about(tokens / parameters), loss: loss.toFixed(3), unit,
    }),
  ];
  if (unique !== null && tokens > unique) said.push(say(text.passes, { times: about(tokens / unique) }));
  if (most !== null && flops > BEYOND_RUNS * most) said.push(say(text.beyond, { times: about(flops / most) }));
  if (least !== null && BEYOND_RUNS * flops < least) said.push(say(text.below, { times: about(least / flops) }));
  return said.join(" ");
}

/** Budgets of the other curves, with their names: those of the runs, or multiples. */
function beside({ flops, runs }, text) {
  if (!runs.length) return BESIDE.map(([times, name]) => [times * flops, text[name]]);
  const budgets = [...new Set(runs.map((run) => run.budget))].sort((one, other) => one - other);
  return budgets.filter((one) => Math.abs(one / flops - 1) > 0.03).map((one) => [one, amount(one)]);
}

/** What is drawn as CSV: curves, advised sizes and runs. */
export function csv(question, text = TEXT) {
  const scientific = (value) => value.toExponential(7).replace("e+", "e");
  const row = (what, flops, { parameters, tokens, loss }) =>
    [what, ...[flops, parameters, tokens, loss].map(scientific)].join() + "\n";
  let table = "what,flops,parameters,tokens,loss\n";
  for (const flops of [question.flops, ...beside(question, text).map(([one]) => one)]) {
    const best = optimumOf(question.law, flops, question.unique);
    for (let step = -10; step <= 10; step++)
      table += row("curve", flops, at(question, flops, best.parameters * 10 ** (step / 10)));
    table += row("advised", flops, best);
  }
  for (const { budget, parameters, tokens, bits } of question.runs)
    table += row("run", budget, { parameters, tokens, loss: bits });
  return table;
}

// What is drawn

/** The budgets whose curves the axes have room for: those of the runs, or some decades around the chosen one. */
function ends({ flops, runs }) {
  if (!runs.length) {
    const from = 2 * Math.floor(Math.log10(flops) / 2 + 1e-9); // rests while the budget grows a hundredfold
    return [10 ** (from - 1), 10 ** (from + 4)];
  }
  const budgets = runs.map((run) => run.budget);
  return [Math.min(flops, ...budgets), Math.max(flops, ...budgets)];
}

const grid = (low, high, steps) => Array.from({ length: steps + 1 }, (_, i) => low * (high / low) ** (i / steps));

/** Sizes and losses that the axes hold. */
function domains(question) {
  const { law, unique, runs } = question;
  const [low, high] = ends(question);
  const advised = [low, high].map((flops) => optimumOf(law, flops, unique).parameters);
  const sizes = runs.map((run) => run.parameters);
  const x = [
    Math.min(advised[0] / (runs.length ? 3 : 12), ...sizes.map((size) => 0.7 * size)),
    Math.max((runs.length ? 5 : 12) * advised[1], ...sizes.map((size) => 1.4 * size)),
  ];
  const losses = (flops) => grid(...x, 60).map((size) => at(question, flops, size).loss);
  const floor = Math.min(...losses(high), ...runs.map((run) => run.bits));
  const around = [advised[0] / 8, 8 * advised[0]].map((size) => at(question, low, size).loss);
  // no lower than can be seen: where all text is used up, no curve has a shape any more
  const top = Math.max(floor + 0.02, ...(runs.length ? runs.map((run) => run.bits + 0.05) : around));
  return { x, y: [floor - 0.08 * (top - floor), top] };
}

/** A power of ten as an axis says it: 10k, 1B, 1,000T. */
function short(count) {
  const [letter, one] = [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]].find(([, one]) => count >= one) ?? ["", 1];
  return (count / one).toLocaleString("en", { maximumFractionDigits: 0 }) + letter;
}

function decades([low, high], most) {
  const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  const every = Math.ceil((last - first + 1) / most);
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return powers.filter((power) => power % every === 0).map((power) => Number(`1e${power}`));
}

function roundSteps([low, high]) {
  const rough = (high - low) / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * ten).find((one) => one >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => roundTo((first + i) * step, 6));
}

/** Names above the chart, the important ones first; one that finds no place in two rows is left out. */
function nameAbove({ svg, edge }, names) {
  const taken = [[], []];
  for (const { x, text, ...look } of names) {
    const half = 3.7 * text.length;
    const middle = Math.min(edge.right - half, Math.max(edge.left + half, x));
    const row = taken.findIndex((row) => row.every(([from, to]) => middle + half + 8 < from || middle - half - 8 > to));
    if (row < 0) continue;
    taken[row].push([middle - half, middle + half]);
    svg.append(words(text, middle, edge.top - 7 - 17 * row, { anchor: "middle", ...look }));
  }
}

function chart(question, { advised, bought }, { width, text }) {
  const { law, unique, flops, size, runs } = question;
  const { x, y } = domains(question);
  const made = frame({
    width, height: Math.round(Math.min(360, 250 + width / 8)), flags: 2,
    x: { domain: x, ticks: decades(x, width < 450 ? 4 : 8), log: true, text: short, label: text.axis },
    y: { domain: y, ticks: roundSteps(y), text: String, label: say(text.loss, { unit: law.meaning.loss }) },
    label: say(text.drawing, {
      flops: about(flops), loss: advised.loss.toFixed(3), parameters: about(advised.parameters),
    }),
  });
  const { svg, along, up, edge } = made;
  const box = { x: edge.left, y: edge.top, width: edge.right - edge.left, height: edge.bottom - edge.top };
  const inside = drawn("svg", { ...box, viewBox: Object.values(box).join(" "), "aria-hidden": "true" });
  const place = ({ parameters, loss }) => [along(parameters), up(loss)];
  const dot = (point, look) => {
    const [cx, cy] = place(point);
    return drawn("circle", { cx, cy, ...look });
  };
  const others = beside(question, text);
  const sizes = grid(...x, 160);
  const names = [];
  const curve = (budget, name, look) => {
    const points = sizes.map((one) => at(question, budget, one));
    inside.append(line(points.map(place), look));
    // where it leaves the drawing on its way up, or ends
    const last = points.findLast((point) => point.loss <= y[1]) ?? points.at(-1);
    return { name, x: along(last.parameters), y: Math.max(up(last.loss), edge.top), side: last === points.at(-1) };
  };
  const placed = others.map(([budget, name]) => curve(budget, name, { stroke: colour("muted"), "stroke-width": 1.25 }));
  const budgets = [...others.map(([budget]) => budget), flops];
  const path = grid(Math.min(...budgets), Math.max(...budgets), 40).map((one) => optimumOf(law, one, unique));
  inside.append(line(path.map(place), { stroke: colour("ink"), "stroke-dasharray": "2 4", "stroke-width": 1.5 }));
  placed.push(curve(flops, text.here, { stroke: colour("money"), "stroke-width": 3.5 }));
  for (const { budget, parameters, bits } of runs) {
    const own = Math.abs(budget / flops - 1) <= 0.03;
    const look = own ? { r: 4, fill: colour("money") } : { r: 3, fill: colour("muted"), "fill-opacity": 0.7 };
    inside.append(dot({ parameters, loss: bits }, look));
  }
  for (const budget of budgets) {
    const look = { r: budget === flops ? 5 : 3.5, fill: colour("ink"), stroke: colour("paper"), "stroke-width": 1.5 };
    inside.append(dot(optimumOf(law, budget, unique), look));
  }
  svg.append(inside);
  if (size !== 1) {
    const [across, height] = place(bought);
    const upright = [[across, edge.top], [across, edge.bottom]];
    if (across > edge.left && across < edge.right) {
      svg.append(line(upright, { stroke: colour("memory"), ...DOTTED }));
      names.push({ x: across, text: text.yours, idea: "memory" });
    }
    const ring = { r: 6, fill: colour("paper"), stroke: colour("memory"), "stroke-width": 3 };
    if (height >= edge.top) svg.append(dot(bought, ring));
  }
  const shown = placed.reverse(); // the chosen one first
  const look = (name) => (name === text.here ? { idea: "money", strong: true } : { muted: true });
  for (const { name, x: across, side } of shown) if (!side) names.push({ x: across, text: name, ...look(name) });
  nameAbove(made, names);
  const heights = [];
  for (const { name, y: height, side } of shown) {
    const free = heights.every((other) => Math.abs(other - height) > 17);
    if (!side || !free || height - 8 < edge.top + 8) continue;
    heights.push(height);
    svg.append(words(name, edge.right - 4, height - 8, { anchor: "end", ...look(name) }));
  }
  return made;
}

function lines(question, found, utilisation, text) {
  const { law, size, unique, machine, accelerators } = question;
  const { advised, bought, worth, halving, seconds, dollars } = found;
  const nodes = { size: [], spent: [] };
  const more = bought.loss - advised.loss;
  const signed = `${more < -5e-4 ? "−" : "+"}${Math.abs(more).toFixed(3)}`;
  const wasted = () => {
    if (size === 1) return text.asAdvised;
    if (worth === null) return "";
    if (worth >= 1) return say(text.needs, { times: about(worth) });
    return say(text.reaches, { share: percent(worth), waste: percent(1 - worth) });
  };
  nodes.size.push(
    heading(
      say(text.bought, { parameters: about(bought.parameters) }),
      say(text.boughtLoss, { loss: bought.loss.toFixed(3), more: size === 1 ? text.advised : signed }),
    ),
    element("p", { class: "explorable-note" }, wasted()),
  );
  const price = dollars === null ? text.noPrice : `$${dollarsText(dollars)}`;
  const many = accelerators.toLocaleString("en");
  nodes.spent.push(
    heading(
      say(text.spent, { many, name: machine.name, share: percent(utilisation) }),
      `${quantity(seconds, "seconds")}, ${price}`,
    ),
    heading(
      law.kind === "kaplan" ? text.halvingAll : say(text.halving, { floor: law.E.toFixed(3) }),
      halving === null
        ? say(text.never, { least: leastLoss(law, unique).toFixed(3) })
        : say(text.grows, { times: about(halving) }),
    ),
  );
  return nodes;
}

/** What the dots are, and why they may lie above their curves. */
function keyTo(runs, text) {
  if (!runs.length) return text.key;
  const more = runs.map(({ budget, parameters, tokens }) => spentOn(budget, parameters) / tokens - 1);
  const [least, most] = [Math.min(...more), Math.max(...more)];
  const why = least > 0.01 ? [say(text.keyMore, { least: percent(roundTo(least, 2)), most: percent(roundTo(most, 2)) })] : [];
  return [text.key, text.keyRuns, ...why].join(" ");
}

function notes({ law, machine }, text) {
  const { name, ...meaning } = law.meaning;
  const capital = name[0].toUpperCase() + name.slice(1);
  const said = [say(text.letters, { name: capital, ...meaning }), say(text.source, machine)];
  if (machine.dollars_per_hour !== null)
    said.push(say(text.price, { dollars: dollarsText(machine.dollars_per_hour), source: machine.price_source }));
  return said.join(" ");
}

let figures = 0; // on this page: the first one has the address

function controls(text, known, chosen, set) {
  const names = (table) => Object.entries(table).map(([name, one]) => [name, one.name ?? one.meaning.name]);
  const pick = (name, label, table) =>
    choice({ label, options: names(table), value: chosen[name], onChange: (value) => set({ [name]: value }) });
  const move = (name, max, position, shown) =>
    among({
      label: text[name], max, at: position, value: chosen[name], text: shown, onInput: (value) => set({ [name]: value }),
    });
  const [least, most] = known.ranges.flops.map(Math.log10);
  return {
    law_name: pick("law_name", text.law, known.laws),
    stock: pick("stock", text.stock, known.stocks),
    accelerator: pick("accelerator", text.accelerator, known.machines),
    flops: move("flops", Math.round(TO_A_DECADE * (most - least)), flopsAt, (flops) =>
      say(text.operations, { flops: amount(flops) })),
    size: move("size", 4 * SIZES_TO_A_DECADE, sizeAt, (size) =>
      size === 1 ? text.advised : say(text.times, { times: amount(size) })),
    accelerators: move("accelerators", Math.log2(known.ranges.accelerators[1]), (position) => 2 ** position, (many) =>
      many.toLocaleString("en")),
  };
}

function render({ model, el }) {
  const text = { ...TEXT, ...model.get("texts") };
  const known = Object.fromEntries(
    ["laws", "stocks", "machines", "ranges", "runs"].map((name) => [name, model.get(name)]),
  );
  const utilisation = model.get("utilisation");
  const read = () => Object.fromEntries(CHOSEN.map((name) => [name, model.get(name)]));
  const opened = read();
  const addressed = !model.send && ++figures === 1; // a notebook's address is not ours
  let chosen = { ...opened };
  let [width, made, timer, busy] = [0, null, 0, false];

  const panel = controls(text, known, chosen, (changes) => show(changed(chosen, changes, known)));
  const said = spoken();
  said.nodes[0].classList.add("explorable-told");
  const canvas = element("div", { class: "explorable-canvas explorable-drag" });
  const key = element("p", { class: "explorable-note" });
  const twoFits = element("p", { class: "explorable-note" });
  const [sized, spent] = [element("div", {}), element("div", {})];
  const noted = element("p", { class: "explorable-note" });
  const link = dataLink(model.get("table"), "budget.csv", text.data);

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
    const question = asked(chosen, known);
    const found = answer(question, utilisation);
    const kaplan = question.law.kind === "kaplan";
    for (const name of ["law_name", "stock", "accelerator"]) panel[name].input.value = chosen[name];
    for (const name of ["flops", "size", "accelerators"]) panel[name].show(chosen[name]);
    panel.stock.node.hidden = question.law.kind !== "repeated";
    made = chart(question, found, { width, text });
    canvas.replaceChildren(made.svg);
    key.textContent = keyTo(question.runs, text);
    const lowest = kaplan ? lowestOf(question.law, chosen.flops).parameters / found.advised.parameters : 1;
    twoFits.textContent = kaplan ? say(text.twoFits, { times: about(lowest) }) : "";
    const shown = lines(question, found, utilisation, text);
    sized.replaceChildren(...shown.size);
    spent.replaceChildren(...shown.spent);
    noted.textContent = notes(question, text);
    link.firstChild.href = csvAddress(csv(question, text));
    said.set(sentence(question, text));
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

  const rows = (...nodes) => element("div", { class: "explorable-controls" }, ...nodes);
  el.append(
    body(
      model,
      rows(panel.law_name.node, panel.flops.node, panel.stock.node),
      ...said.nodes,
      canvas,
      key,
      twoFits,
      rows(panel.size.node),
      sized,
      rows(panel.accelerator.node, panel.accelerators.node),
      spent,
      noted,
      rows(button(text.reset, () => show({ ...opened }))),
      ...(addressed ? [element("p", { class: "explorable-note" }, text.address)] : []),
      link,
    ),
  );

  // the drawing can be dragged as well; the slider stays the way for keyboard and screen reader
  const drag = (event) => {
    const { edge } = made;
    const [low, high] = domains(asked(chosen, known)).x;
    const share = (event.clientX - canvas.getBoundingClientRect().left - edge.left) / (edge.right - edge.left);
    const best = answer(asked(chosen, known), utilisation).advised.parameters;
    const position = Math.round(SIZES_TO_A_DECADE * (2 + Math.log10((low * (high / low) ** share) / best)));
    show({ ...chosen, size: sizeAt(Math.min(4 * SIZES_TO_A_DECADE, Math.max(0, position))) });
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
