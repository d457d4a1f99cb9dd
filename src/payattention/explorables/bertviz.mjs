// bertviz's three views of attention, drawn by bertviz's own scripts and nobody's network.
//
// Each script finds its libraries, its numbers and its window as parameters, and lives in a shadow
// root: what it looks up by id is looked up there, so that a page can hold many views, and neither
// a theme nor JupyterLab finds a second jQuery. What the scripts leave out is added around them:
// labels, a way for the keyboard, and a box that a wide drawing scrolls in.

import { body, dataLink, element, percent, say } from "./figure.mjs";

const d3Script = vendored("d3/d3.min.js", "module", "exports", "define");
const jQueryScript = vendored("jquery/jquery.min.js", "module", "exports", "define");
const headScript = vendored("bertviz/head_view.js", "require", "requirejs", "PYTHON_PARAMS", "window", "console");
const modelScript = vendored("bertviz/model_view.js", "require", "requirejs", "PYTHON_PARAMS", "window", "console");
const neuronScript = vendored("bertviz/neuron_view.js", "require", "requirejs", "PYTHON_PARAMS", "window", "console");

const TEXT = {
  head:
    "Point at a word, or go through them with Tab and the arrow keys, to see what it looks at. " +
    "A coloured square turns a head off or on; a double click, or Shift and Enter, leaves it alone.",
  model: "Choose a head with the mouse, or with the arrow keys and Enter, to see it large.",
  neuron:
    "Point at a word, or go through them with Tab and the arrow keys, to see what it looks at. " +
    "The plus sign beside it, or Enter, opens the arithmetic: query, key and product.",
  layer: "Layer: ",
  head_choice: "Head: ",
  vis: { head: "Attention by head", model: "Attention of every head", neuron: "Attention of one head" },
  looks: "{word} looks at {others}",
  seen: "{word} is looked at by {others}",
  one_head: "Head {head}",
  one_square: "Layer {layer}, head {head}",
  data: "The figure’s data (CSV)",
};

// bertviz draws for white paper, in a dark theme too
const STYLE = `
  :host { display: block; }
  .panel {
    background: #fff; border-radius: 4px; box-sizing: border-box; color: #202020;
    font: 15px "Helvetica Neue", Helvetica, Arial, sans-serif; overflow-x: auto; padding: 8px;
  }
  label { margin-right: 1rem; }
  select {
    background: #fff; border: 1px solid #59636e; border-radius: 4px; color: #202020; font: inherit;
    margin: 0 0 8px; min-height: 32px; padding: 2px 6px;
  }
  svg { display: block; }
  [tabindex]:focus-visible, select:focus-visible { outline: 2px solid #0072b2; outline-offset: 1px; }
`;

// What bertviz draws is so many pixels wide; a column that is narrower shrinks it, down to so many.
const WIDTH = { head: [340, 340], model: [970, 680], neuron: [430, 430], arithmetic: [1020, 720] };

/** What a script exports that asks for CommonJS, run once. */
function exported(script) {
  const module = { exports: {} };
  script.call({}, module, module.exports, undefined);
  return module.exports;
}

let libraries;

/** jQuery and d3 that look names up below `root` instead of in the whole document. */
function within(root) {
  libraries ??= { jQuery: exported(jQueryScript), d3: exported(d3Script) };
  const { jQuery, d3 } = libraries;
  const named = (what) => typeof what === "string" && !what.startsWith("<");
  const local = Object.create(d3);
  local.select = (what) => d3.select(named(what) ? root.querySelector(what) : what);
  local.selectAll = (what) => d3.selectAll(named(what) ? root.querySelectorAll(what) : what);
  return [(what) => (named(what) ? jQuery(what, root) : jQuery(what)), local];
}

function run(view, params, root) {
  const script = { head: headScript, model: modelScript, neuron: neuronScript }[view];
  const given = { ...params, root_div_id: "bertviz" };
  const requirejs = (names, start) => start(...within(root));
  script({ config() {} }, requirejs, given, { bertviz_params: given }, { log() {} });
}

/** The elements that bertviz's HTML has, with labels that belong to their lists. */
function skeleton(view, text) {
  const list = (id, label) =>
    element("label", {}, element("span", { class: "dropdown-label" }, label), element("select", { id }));
  const lists = {
    head: [list("layer", text.layer)],
    model: [],
    neuron: [list("layer", text.layer), list("att_head", text.head_choice)],
  }[view];
  const vis = element("div", { id: "vis" });
  return element("div", { id: "bertviz", class: "panel" }, element("span", {}, ...lists), vis);
}

const fire = (node, type, more = {}) =>
  node.dispatchEvent(new MouseEvent(type, { bubbles: true, composed: true, ...more }));

/** One stop of the Tab key for a row (or a grid of `columns`) that the arrow keys go through. */
function roving(nodes, { role, label, columns = 1, onFocus, onBlur, onEnter }) {
  nodes.forEach((node, place) => {
    node.setAttribute("aria-label", label(place));
    if (node.hasAttribute("tabindex")) return;
    node.setAttribute("role", role);
    node.setAttribute("tabindex", place ? -1 : 0);
    node.addEventListener("focus", () => onFocus?.(node, place));
    node.addEventListener("blur", () => onBlur?.(node, place));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
      const next = nodes[place + step];
      if (next) {
        nodes.forEach((other) => other.setAttribute("tabindex", other === next ? 0 : -1));
        next.focus();
      } else if (onEnter && (event.key === "Enter" || event.key === " ")) {
        onEnter(node, place, event);
      } else if (!step) {
        return;
      }
      event.preventDefault();
    });
  });
}

const hover = {
  role: "img",
  onFocus: (node) => fire(node, "mouseover"),
  onBlur: (node) => fire(node, "mouseout"),
};

/** "animal 67.7 %, [CLS] 19 %, it 5 %": the largest shares, in words. */
function largest(shares, words) {
  const order = shares.map((share, place) => [share, place]).sort(([a], [b]) => b - a);
  return order.slice(0, 3).map(([share, place]) => `${words[place]} ${percent(share)}`).join(", ");
}

const mean = (rows) => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);

// What the keyboard and a screen reader need, once a view has drawn: each is called after every
// drawing, with the numbers that it shows.

function reachHead(root, { attn, left_text: left, right_text: right }, layers, text) {
  const squares = [...root.querySelectorAll("#vis > svg > g:last-child > rect")];
  const words = (id) => [...root.querySelectorAll(`#${id} > g:not(.attentionBoxes) > g`)];
  const [askers, asked] = ["left", "right"].map(words);
  const isOn = (head) => squares[head].getAttribute("fill") === libraries.d3.schemeCategory10[head % 10];
  const name = () => {
    const layer = layers.indexOf(Number(root.querySelector("#layer").value));
    const on = attn[layer].filter((_, head) => isOn(head));
    const given = (place) => largest(mean(on.map((head) => head[place])), right);
    const got = (place) => largest(mean(on.map((head) => head.map((row) => row[place]))), left);
    squares.forEach((square, head) => square.setAttribute("aria-checked", isOn(head)));
    roving(askers, { ...hover, label: (i) => say(text.looks, { word: left[i], others: given(i) }) });
    roving(asked, { ...hover, label: (i) => say(text.seen, { word: right[i], others: got(i) }) });
  };
  roving(squares, {
    role: "checkbox",
    columns: squares.length,
    label: (head) => say(text.one_head, { head }),
    onEnter: (square, head, event) => fire(square, event.shiftKey ? "dblclick" : "click"),
  });
  // after bertviz's own listeners, which turn the head off or on
  squares.forEach((square) => ["click", "dblclick"].forEach((type) => square.addEventListener(type, name)));
  name();
}

function reachModel(root, attention, { include_layers: layers, include_heads: heads }, text) {
  const squares = [...root.querySelectorAll(".attn_background")].map((rect) => rect.parentNode);
  roving(squares, {
    role: "button",
    columns: heads.length,
    label: (place) => {
      const at = { layer: layers[Math.floor(place / heads.length)], head: heads[place % heads.length] };
      return say(text.one_square, at);
    },
    onEnter: (square) => fire(square.lastElementChild, "click"),
  });
  const left = root.querySelectorAll("g.detail")[0];
  const at = squares.findIndex((square) => square.firstElementChild.getAttribute("stroke-opacity") > 0);
  squares.forEach((square, place) => square.setAttribute("aria-pressed", place === at));
  if (!left || at < 0) return;
  const { attn, left_text: words, right_text: others } = attention;
  const rows = attn[Math.floor(at / heads.length)][at % heads.length];
  const label = (i) => say(text.looks, { word: words[i], others: largest(rows[i], others) });
  roving([...left.children], { ...hover, label });
}

function reachNeuron(root, attention, text) {
  const [layer, head] = ["layer", "att_head"].map((id) => Number(root.querySelector(`#${id}`).value));
  const { attn, left_text: left, right_text: right } = attention;
  const label = (i) => say(text.looks, { word: left[i], others: largest(attn[layer][head][i], right) });
  const groups = ["expanded", "collapsed"].map((id) => root.querySelector(`#${id}`));
  const words = groups.map((group) => [...group.querySelectorAll("#leftText > g")]);
  words.forEach((row, which) =>
    roving(row, {
      ...hover,
      role: "button",
      label,
      onEnter: (word, place) => {
        fire(word.lastElementChild, "click");
        words[1 - which][place].focus();
      },
    }),
  );
}

/** Lets the drawing shrink with its column, and scroll where that would make it too small. */
function fit(svg, view) {
  const open = svg.querySelector("#expanded")?.getAttribute("visibility") === "visible";
  const [wide, narrow] = WIDTH[open ? "arithmetic" : view];
  svg.setAttribute("viewBox", `0 0 ${wide} ${parseFloat(svg.getAttribute("height"))}`);
  Object.assign(svg.style, { height: "auto", maxWidth: `${wide}px`, minWidth: `${narrow}px`, width: "100%" });
}

function show(view, params, numbers, root, text) {
  root.replaceChildren(skeleton(view, text));
  run(view, params, root);
  const [attention] = Object.values(params.attention);
  const reach = {
    head: () => reachHead(root, attention, params.include_layers, text),
    model: () => reachModel(root, attention, params, text),
    neuron: () => reachNeuron(root, attention, text),
  }[view];
  const finish = () => {
    const svg = root.querySelector("#vis > svg");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", text.vis[view]);
    fit(svg, view);
    reach();
  };
  if (view === "neuron") {
    // bertviz numbers what it is given from 0; a part of a model has other numbers
    [...root.querySelectorAll("#layer option")].forEach((option, i) => (option.textContent = numbers[i]));
  }
  finish();
  const observer = new MutationObserver(finish);
  const changes = { childList: true, subtree: true, attributeFilter: ["visibility"] };
  observer.observe(root.querySelector("#vis"), changes);
  return () => observer.disconnect();
}

function render({ model, el }) {
  const view = model.get("view");
  const text = { ...TEXT, ...model.get("texts") };
  const host = element("div", { class: "explorable-canvas" });
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const hint = element("p", { class: "explorable-note" }, text[view]);
  el.append(body(model, hint, host, dataLink(model.get("table"), `${view}_view.csv`, text.data)));
  return show(view, model.get("params"), model.get("numbers"), root, text);
}

export default { render };
