// Weights left out, in plain JavaScript: the scores and masks of Python's `pruning`, on what the page has.
//
// Where scores are equal, the weight that comes first goes first, as in Python's stable order.

import { uniforms } from "./figure.mjs";
import { halves, unbase64 } from "./decoder.mjs";

const PARTS = [
  "attention.queries", "attention.keys", "attention.values", "attention.output", "mlp.widen", "mlp.narrow",
];
const CHANCE_SEED = 0; // of the draws by which weights go by chance
const [NUMBER_BYTES, COLUMN_BYTES, ROW_BYTES] = [2, 2, 4]; // a weight, the number of its column, where a row begins

/** The maps of the blocks, in Python's order: name of the weight, rows, columns. */
export function prunable({ layers, d_model: width, d_ff: inner }) {
  const sizes = { "mlp.widen": [inner, width], "mlp.narrow": [width, inner] };
  return Array.from({ length: layers }, (_, layer) =>
    PARTS.map((part) => {
      const [rows, columns] = sizes[part] ?? [width, width];
      return { name: `blocks.${layer}.${part}.weight`, rows, columns };
    }),
  ).flat();
}

/** The norms of the inputs of each map, from a text in base 64: 16 bits each, the first three maps have one. */
export function unpackNorms(text, shape) {
  const table = halves();
  const numbers = Float32Array.from(new Uint16Array(unbase64(text).buffer), (bits) => table[bits]);
  const norms = {};
  let at = 0;
  for (const { name, columns } of prunable(shape)) {
    if (/keys|values/.test(name)) at -= columns; // what the queries read, they read too
    norms[name] = numbers.subarray(at, at + columns);
    at += columns;
  }
  return norms;
}

/** How much each weight of each map matters: by "magnitude", "wanda" or "chance". */
export function scoresOf(file, how, norms, seed = CHANCE_SEED) {
  const random = uniforms(seed);
  return prunable(file.shape).map(({ name, rows, columns }) => {
    const weights = file.tensors[name];
    if (how === "chance") return Float64Array.from({ length: rows * columns }, random);
    const scores = weights.map(Math.abs);
    if (how === "wanda") for (let i = 0; i < scores.length; i++) scores[i] *= norms[name][i % columns];
    return scores;
  });
}

/** A number in the middle of two whole ones goes to the even one, as in Python. */
export const toEven = (value) => {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
};

/** As many of the lowest scores from `from` to `to` as the share says become 0 in the mask. */
function dropLowest(scores, mask, from, to, share) {
  const many = toEven(share * (to - from));
  if (!many) return;
  const sorted = scores.slice(from, to).sort();
  const limit = sorted[many - 1];
  let equal = 1; // of those at the limit, so many go
  while (equal < many && sorted[many - 1 - equal] === limit) equal++;
  for (let i = from; i < to; i++) if (scores[i] < limit || (scores[i] === limit && equal-- > 0)) mask[i] = 0;
}

/** Masks of 1 and 0, one for each map: without the lowest scores of all maps, or of each row. */
export function keepLargest(scores, maps, share, among) {
  const starts = [0];
  for (const one of scores) starts.push(starts.at(-1) + one.length);
  const all = new scores[0].constructor(starts.at(-1));
  scores.forEach((one, i) => all.set(one, starts[i]));
  const mask = new Uint8Array(all.length).fill(1);
  if (among === "all") dropLowest(all, mask, 0, all.length, share);
  else
    maps.forEach(({ rows, columns }, i) => {
      for (let row = 0; row < rows; row++) {
        const from = starts[i] + row * columns;
        dropLowest(all, mask, from, from + columns, share);
      }
    });
  return maps.map((_, i) => mask.subarray(starts[i], starts[i + 1]));
}

/** The file with 0 where the masks say so; it shares all else with the one before. */
export function prunedFile({ shape, tensors }, masks) {
  const now = { ...tensors };
  prunable(shape).forEach(({ name }, i) => (now[name] = tensors[name].map((weight, j) => weight * masks[i][j])));
  return { shape, tensors: now };
}

/** How many weights stay of how many, and bytes on a disk in three forms; see Python's `Left`. */
export function leftOf(maps, share, among) {
  const sum = (of) => maps.reduce((total, one) => total + of(one), 0);
  const many = sum(({ rows, columns }) => rows * columns);
  const kept =
    among === "all"
      ? many - toEven(share * many)
      : sum(({ rows, columns }) => rows * (columns - toEven(share * columns)));
  return {
    many,
    kept,
    dense: NUMBER_BYTES * many,
    bitmap: NUMBER_BYTES * kept + Math.ceil(many / 8),
    columns: (NUMBER_BYTES + COLUMN_BYTES) * kept + ROW_BYTES * sum(({ rows }) => rows),
  };
}
