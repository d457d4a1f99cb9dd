// A Transformer that writes, in plain JavaScript: what Python's `Decoder` computes, for the book's shape.
//
// Rotary positions, a LayerNorm in front of each part, exact GELU, no biases in the linear maps, an output
// tied to the table of token vectors. A token at a time, with the keys and values of those before it kept.
// Numbers are kept in 32 bits and summed in 64.

const EPSILON = 1e-5; // under the root of LayerNorm
const BASE = 10000; // of the rotary frequencies

/** Every number that 16 bits can say (IEEE 754), at the place that its bits spell. */
export function halves() {
  return Float32Array.from({ length: 1 << 16 }, (_, bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  });
}

/** What a text in base 64 spells. */
export function unbase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** The shape and the tensors, as 32-bit numbers, of a file that `weights.pack` wrote (safetensors). */
export function unpack(bytes) {
  const head = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + head));
  const { __metadata__: metadata, ...entries } = JSON.parse(text);
  const table = halves();
  const widened = (halved) => {
    const numbers = new Float32Array(halved.length);
    for (let i = 0; i < halved.length; i++) numbers[i] = table[halved[i]];
    return numbers;
  };
  const tensors = Object.entries(entries).map(([name, { dtype, data_offsets: ends }]) => {
    const { buffer } = bytes.slice(...ends.map((end) => 8 + head + end)); // a copy, so that it is aligned
    const numbers = {
      F16: () => widened(new Uint16Array(buffer)),
      F32: () => new Float32Array(buffer),
    }[dtype];
    if (!numbers) throw new Error(`${name} is of type ${dtype}; expected F16 or F32`);
    return [name, numbers()];
  });
  return { shape: JSON.parse(metadata.shape), tensors: Object.fromEntries(tensors) };
}

/** The model of such a file: a table, blocks, and the norm behind them, each under its own name. */
export function decoder({ shape, tensors }) {
  const part = (name) => {
    if (!tensors[name]) throw new Error(`${name} is missing`);
    return tensors[name];
  };
  const norm = (name) => ({ weight: part(`${name}.weight`), bias: part(`${name}.bias`) });
  const blocks = Array.from({ length: shape.layers }, (_, layer) => {
    const of = (name) => part(`blocks.${layer}.${name}.weight`);
    return {
      norm: norm(`blocks.${layer}.norm`),
      queries: of("attention.queries"),
      keys: of("attention.keys"),
      values: of("attention.values"),
      output: of("attention.output"),
      mlpNorm: norm(`blocks.${layer}.mlp_norm`),
      widen: of("mlp.widen"),
      narrow: of("mlp.narrow"),
    };
  });
  return { shape, table: part("embedding.table.weight"), blocks, norm: norm("norm") };
}

/** The ids of the characters that the vocabulary has, and those that it does not have. */
export function encode(text, vocabulary) {
  const ids = new Map([...vocabulary].map((character, id) => [character, id]));
  const known = [...text].filter((character) => ids.has(character));
  const unknown = new Set([...text].filter((character) => !ids.has(character)));
  return { ids: known.map((character) => ids.get(character)), unknown: [...unknown] };
}

/** A matrix, row after row, times a vector. Four rows at once: each number is fetched once for four. */
export function product(matrix, vector) {
  const columns = vector.length;
  const result = new Float32Array(matrix.length / columns);
  let row = 0;
  for (; row + 3 < result.length; row += 4) {
    let [first, second, third, fourth] = [0, 0, 0, 0];
    const a = row * columns;
    const b = a + columns;
    const c = b + columns;
    const d = c + columns;
    for (let i = 0; i < columns; i++) {
      const x = vector[i];
      first += matrix[a + i] * x;
      second += matrix[b + i] * x;
      third += matrix[c + i] * x;
      fourth += matrix[d + i] * x;
    }
    result[row] = first;
    result[row + 1] = second;
    result[row + 2] = third;
    result[row + 3] = fourth;
  }
  for (; row < result.length; row++) result[row] = dot(matrix, row * columns, vector, 0, columns);
  return result;
}

/** The dot product of `many` numbers from `i` on in one array and from `j` on in another. */
function dot(a, i, b, j, many) {
  let sum = 0;
  for (let k = 0; k < many; k++) sum += a[i + k] * b[j + k];
  return sum;
}

/** The vector with mean 0 and spread 1, each number then scaled and shifted by what was trained. */
export function layerNorm(x, { weight, bias }) {
  let mean = 0;
  for (const one of x) mean += one / x.length;
  let variance = 0;
  for (const one of x) variance += (one - mean) ** 2 / x.length;
  const scale = 1 / Math.sqrt(variance + EPSILON);
  return x.map((one, i) => (one - mean) * scale * weight[i] + bias[i]);
}

/** The error function, right to 1.5e-7. Source: Abramowitz and Stegun 1964, formula 7.1.26. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

/** Each number times the chance that a normal one is smaller. */
export function gelu(x) {
  return x.map((one) => 0.5 * one * (1 + erf(one / Math.SQRT2)));
}

/** Turns each pair of neighbouring numbers of every head, in place, by its position times its frequency. */
export function turn(x, place, dHead) {
  for (let i = 0; i < x.length; i += 2) {
    const angle = place * BASE ** (-(i % dHead) / dHead);
    const [cos, sin, even, odd] = [Math.cos(angle), Math.sin(angle), x[i], x[i + 1]];
    x[i] = even * cos - odd * sin;
    x[i + 1] = even * sin + odd * cos;
  }
  return x;
}

/** Shares that sum to 1, the larger the score the larger, in place. */
function softmax(scores) {
  let most = -Infinity;
  for (const score of scores) most = Math.max(most, score);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

function add(x, more) {
  for (let i = 0; i < x.length; i++) x[i] += more[i];
}

/**
 * A text as the model has read it: `ids`, of which it sees those from `start` on, the `logits` of what follows,
 * and how every head of every layer shared its attention out.
 */
export class Reading {
  constructor(model) {
    const { layers, heads, d_model: width, context } = model.shape;
    const room = () => Array.from({ length: layers }, () => new Float32Array(context * width));
    this.model = model;
    this.ids = [];
    this.start = 0;
    this.logits = null;
    this.keys = room();
    this.values = room();
    this.weights = new Float32Array(layers * heads * context * context);
  }

  /**
   * Reads a text, and of it only what is new: what begins as the text before it did is kept. When the context
   * is full, the first half is forgotten and the rest read anew from place 0, as in `generation.stream`; of a
   * text that is too long from the start, the end is read.
   */
  follow(ids) {
    const { context } = this.model.shape;
    let same = 0;
    while (same < Math.min(ids.length, this.ids.length) && ids[same] === this.ids[same]) same++;
    if (same <= this.start) {
      this.start = Math.max(0, ids.length - context);
      same = this.start;
    }
    while (ids.length - this.start > context) {
      this.start += context - Math.floor(context / 2);
      same = this.start;
    }
    this.ids = ids.slice();
    this.logits = null;
    const first = Math.min(same, ids.length - 1); // the last one always, for its logits
    let x;
    for (let i = first; i >= 0 && i < ids.length; i++) x = this.#step(ids[i], i - this.start);
    if (x) this.logits = product(this.model.table, layerNorm(x, this.model.norm));
    return this;
  }

  /** What a token gives to each token up to itself; places count from `start`. */
  row(layer, head, place) {
    const { heads, context } = this.model.shape;
    const from = ((layer * heads + head) * context + place) * context;
    return this.weights.subarray(from, from + place + 1);
  }

  /** The stream of one token as it leaves the last block. */
  #step(id, place) {
    const { table, blocks, shape } = this.model;
    const x = table.slice(id * shape.d_model, (id + 1) * shape.d_model);
    blocks.forEach((block, layer) => {
      add(x, this.#attend(block, layer, layerNorm(x, block.norm), place));
      add(x, product(block.narrow, gelu(product(block.widen, layerNorm(x, block.mlpNorm)))));
    });
    return x;
  }

  #attend(block, layer, x, place) {
    const { heads, d_model: width } = this.model.shape;
    const [dHead, keys, values] = [width / heads, this.keys[layer], this.values[layer]];
    const query = turn(product(block.queries, x), place, dHead);
    keys.set(turn(product(block.keys, x), place, dHead), place * width);
    values.set(product(block.values, x), place * width);
    const mixed = new Float32Array(width);
    for (let head = 0; head < heads; head++) {
      const [at, weights] = [head * dHead, this.row(layer, head, place)];
      for (let j = 0; j <= place; j++)
        weights[j] = dot(query, at, keys, j * width + at, dHead) / Math.sqrt(dHead);
      softmax(weights);
      for (let j = 0; j <= place; j++)
        for (let i = 0; i < dHead; i++) mixed[at + i] += weights[j] * values[j * width + at + i];
    }
    return product(block.output, mixed);
  }
}

/** Places of the largest numbers, the largest first. */
export function strongest(numbers, many) {
  return [...numbers.keys()].sort((a, b) => numbers[b] - numbers[a]).slice(0, many);
}

/** The chance of each token to be drawn, as Python's `Sampler` has it; a `topK` of 0 leaves all. */
export function probabilities(logits, temperature, topK = 0) {
  const scores = new Float64Array(logits.length).fill(-Infinity);
  for (const i of strongest(logits, temperature === 0 ? 1 : topK || logits.length))
    scores[i] = temperature === 0 ? 0 : logits[i] / temperature;
  return softmax(scores);
}

/** A place, drawn with these chances; `random` is a number from 0 to 1. */
export function pick(shares, random) {
  let sum = 0;
  for (let i = 0; i < shares.length; i++) if (random < (sum += shares[i])) return i;
  return shares.findLastIndex((share) => share > 0); // the sum was a little less than 1
}
