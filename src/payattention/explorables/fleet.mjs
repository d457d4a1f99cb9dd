// The electricity of a fleet of servers in a year: four factors to move, one bar, and what it is held against.

import {
  body, colour, dataLink, drawn, element, frame, line, number, percent, say, setting, slider, spoken,
  whenSized, words,
} from "./figure.mjs";

const TEXT = {
  servers: "Servers shipped in a year:",
  watts: "A server draws:",
  utilisation: "Share of the time at full power:",
  pue: "Building over computers (PUE):",
  million: "{servers} million",
  kilowatts: "{kilowatts} kW {server}",
  fleet: "this fleet",
  year: "Electricity in a year",
  unit: "terawatt-hours",
  amount: "{name}: {amount} TWh",
  finding: "{amount} TWh a year: {against} the Netherlands of 2020.",
  part: "{share} of",
  same: "as much as",
  times: "{times} times",
  data: "The scenario’s numbers (CSV)",
};

const FACTORS = ["servers", "watts", "utilisation", "pue"];
const [YEAR_SECONDS, TERAWATT_HOUR_JOULES] = [365 * 86400, 3.6e15];
const [SCALE, ROW] = [150, 38]; // terawatt-hours where the scale ends; pixels of a bar with its name

/** Electricity of fleet and building in a year. */
export function joules({ servers, watts, utilisation, pue }) {
  return servers * watts * utilisation * YEAR_SECONDS * pue;
}

/** So much electricity in words, beside the country's. */
export function sentence(amount, country, text = TEXT) {
  const times = Number((amount / country).toPrecision(2));
  const part = times < 1 ? say(text.part, { share: percent(times) }) : say(text.times, { times: number(times) });
  return say(text.finding, { amount: terawattHours(amount), against: times === 1 ? text.same : part });
}

/** Value at a slider's position, and the nearest position of a value. */
export const valueAt = ([least, , step], position) => Number((least + step * position).toFixed(4));
export const positionOf = ([least, , step], value) => Math.round((value - least) / step);

const terawattHours = (amount) => number(amount / TERAWATT_HOUR_JOULES);

function chart(bars, text, width) {
  const place = (bar) => bar.joules / TERAWATT_HOUR_JOULES;
  let end = SCALE; // doubled until all bars fit: the marks rest while the fleet moves
  while (end < Math.max(...bars.map(place))) end *= 2;
  const named = bars.map(({ name, joules }) => say(text.amount, { name, amount: terawattHours(joules) }));
  const { svg, along, edge } = frame({
    width, height: 76 + ROW * bars.length, flags: 0, left: 0, label: `${text.year}. ${named.join(", ")}`,
    x: { domain: [0, end], ticks: [end / 3, (2 * end) / 3], text: number, label: text.unit },
    y: { domain: [0, 1], ticks: [], text: String, label: text.year },
  });
  bars.forEach((bar, row) => {
    const [x, y, wide] = [edge.left, edge.top + ROW * row + 22, Math.max(along(place(bar)) - edge.left, 1)];
    const look = row ? { height: 8, fill: colour("muted") } : { height: 14, fill: colour("money") };
    svg.append(drawn("rect", { x, y, width: wide, ...look }));
  });
  // where the fleet ends, down past all marks
  const tip = [edge.top + 22, edge.bottom].map((y) => [along(place(bars[0])), y]);
  svg.append(line(tip, { stroke: colour("money"), "stroke-dasharray": "5 4" }));
  named.forEach((name, row) => svg.append(words(name, edge.left, edge.top + ROW * row + 16, { strong: !row })));
  return svg;
}

let figures = 0; // on this page: ids are a figure's own

function controls(model, text) {
  const [set, ranges, known] = [setting(model), model.get("ranges"), model.get("known_watts")];
  const shown = {
    servers: (servers) => say(text.million, { servers: number(servers / 1e6) }),
    watts: (watts) => say(text.kilowatts, { kilowatts: number(watts / 1000), server: known[watts] ?? "" }).trim(),
    utilisation: percent,
    pue: (pue) => pue.toFixed(2),
  };
  const sliders = FACTORS.map((name) =>
    slider({
      label: text[name], max: positionOf(ranges[name], ranges[name][1]), position: 0,
      text: (position) => shown[name](valueAt(ranges[name], position)),
      onInput: (position) => set(name, valueAt(ranges[name], position)),
    }),
  );
  const marked = Object.keys(known).map((watts) => element("option", { value: positionOf(ranges.watts, watts) }));
  const list = element("datalist", { id: `explorable-fleet-${++figures}` }, ...marked);
  sliders[1].input.setAttribute("list", list.id);
  const node = element("div", { class: "explorable-controls" }, ...sliders.map((one) => one.node));
  const show = (factors) => sliders.forEach((one, i) => one.show(positionOf(ranges[FACTORS[i]], factors[FACTORS[i]])));
  return { nodes: [node, list], show };
}

function render({ model, el }) {
  const [text, marks] = [{ ...TEXT, ...model.get("texts") }, model.get("marks")];
  const [panel, said, canvas] = [controls(model, text), spoken(), element("div", { class: "explorable-canvas" })];
  let width = 0;
  const draw = () => {
    const factors = Object.fromEntries(FACTORS.map((name) => [name, model.get(name)]));
    const fleet = joules(factors);
    panel.show(factors);
    if (width) canvas.replaceChildren(chart([{ name: text.fleet, joules: fleet }, ...marks], text, width));
    said.set(sentence(fleet, marks[0].joules, text));
  };
  const note = element("p", { class: "explorable-note" }, model.get("source"));
  const link = dataLink(model.get("table"), "fleet.csv", text.data);
  el.append(body(model, ...panel.nodes, canvas, ...said.nodes, note, link));
  const changes = FACTORS.map((name) => `change:${name}`).join(" ");
  model.on(changes, draw);
  const stop = whenSized(canvas, (now) => draw((width = now)));
  return () => {
    model.off(changes, draw);
    said.stop();
    stop();
  };
}

export default { render };
