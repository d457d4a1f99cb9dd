// How a model comes to the page: when the reader asks, once for all figures, from beside the script or from
// the kernel, and what is seen of it meanwhile.

import { button, element, say } from "./figure.mjs";
import { unbase64, unpack } from "./decoder.mjs";

/** What is said of the model and of the text that it reads. */
export const LOADING = {
  load: "Load the model ({size} MB)",
  offer: "It runs in this browser; any button loads it.",
  loading: "The model is coming",
  loaded: "The model is here: {parameters} parameters, loaded in {seconds} s.",
  failed: "The model did not come: {reason}",
  absent: "This model is in its notebook; here you see what was stored of it.",
  silent: "no kernel answers; run the cell again",
  missing: "{path} did not load",
  yours: "Your text:",
  met: "The model knows {many} characters: those of Shakespeare’s plays.",
  unmet: "The model has never met these and skips them: {characters}",
};

const PATIENCE = 20_000; // milliseconds to wait for a kernel

// Where the script itself came from: the parts of the weights lie beside it.
const HERE = globalThis.document?.currentScript?.src.replace(/[^/]*$/, "");

// Of this page, by name: promises. Every figure has a copy of this module, and they share what one has fetched.
const models = (globalThis.payattentionModels ??= new Map());

/** The model's file, unpacked, fetched once for all figures of a page; `onPart(done)` hears of each part. */
export function fetched(model, text, onPart) {
  const wanted = model.get("weights");
  if (!models.has(wanted.name)) {
    const parts = model.send ? fromKernel(model, wanted, text, onPart) : fromScripts(wanted, text, onPart);
    const made = parts.then((all) => unpack(joined(all, wanted.bytes)));
    made.catch(() => models.delete(wanted.name)); // so that one can try again
    models.set(wanted.name, made);
  }
  return models.get(wanted.name);
}

function joined(parts, size) {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** From classic scripts beside this one, which run from a disk and under a strict policy too. */
function fromScripts({ name, parts }, text, onPart) {
  let done = 0;
  const load = (path) =>
    new Promise((resolve, reject) => {
      const script = element("script", { src: HERE + path });
      script.onload = () => {
        script.remove();
        const bytes = unbase64(window.payattentionParts[path]);
        delete window.payattentionParts[path];
        onPart(++done);
        resolve(bytes);
      };
      script.onerror = () => {
        script.remove();
        reject(new Error(say(text.missing, { path })));
      };
      document.head.append(script);
    });
  return Promise.all(Array.from({ length: parts }, (_, i) => load(`${name}/${i}.js`)));
}

/** From the kernel that made the figure, as messages: they are not stored in the notebook. */
function fromKernel(model, { parts }, text, onPart) {
  return new Promise((resolve, reject) => {
    const [all, timer] = [[], { id: 0 }];
    const finish = (settle, value) => {
      clearTimeout(timer.id);
      model.off("msg:custom", hear);
      settle(value);
    };
    const wait = () => {
      clearTimeout(timer.id);
      timer.id = setTimeout(() => finish(reject, new Error(text.silent)), PATIENCE);
    };
    const hear = ({ kind, place }, [buffer] = []) => {
      if (kind !== "part") return;
      wait();
      all[place] = new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
      const done = Object.keys(all).length;
      onPart(done);
      if (done === parts) finish(resolve, all);
    };
    model.on("msg:custom", hear);
    wait();
    model.send({ kind: "weights" });
  });
}

/** A row with the button that loads the model, and what became of it; always of one height. */
export function loading(text, { bytes, parts }, onLoad) {
  const size = (bytes / 1e6).toFixed(1);
  const ask = button(say(text.load, { size }), onLoad);
  const bar = element("progress", { max: parts, value: 0, "aria-label": text.loading });
  const note = element("p", { class: "explorable-note" }, text.offer);
  const node = element("div", { class: "explorable-loading" }, ask, bar, note);
  const show = (state, message = "") => {
    ask.hidden = state !== "still";
    bar.hidden = state !== "coming";
    note.textContent = message;
  };
  show("still", text.offer);
  return { node, ask, show, progress: (done) => (bar.value = done) };
}
