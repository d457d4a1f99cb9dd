// What a model costs, by arithmetic alone: the formulas of `payattention.cost`, part by part under the same
// names. A shape is a `TransformerShape` as JSON. Whole numbers are exact below 2 ** 53; a test compares all
// of them with Python's.

export const total = (bill) => Object.values(bill).reduce((sum, part) => sum + part, 0);

const times = (factor, bill) =>
  Object.fromEntries(Object.entries(bill).map(([part, value]) => [part, factor * value]));

// Sizes

/** Width of one head's query, key and value. */
export const dHead = (shape) => (shape.d_attention ?? shape.d_model) / shape.heads;
const dKv = (shape) => shape.kv_heads * dHead(shape);
const attentionWidth = (shape) => shape.heads * dHead(shape);

// Parameters

function block(shape) {
  const [d, width] = [shape.d_model, attentionWidth(shape)];
  let attention = d * (2 * width + 2 * dKv(shape));
  if (shape.biases === "all") attention += width + 2 * dKv(shape) + d;
  let feedForward = 2 * d * shape.d_ff;
  if (shape.biases !== "none") feedForward += shape.d_ff + d;
  if (shape.activation === "swiglu") feedForward += d * shape.d_ff + (shape.biases !== "none" ? shape.d_ff : 0);
  return { attention, "feed-forward": feedForward, norms: 2 * normSize(shape, d) };
}

const normSize = (shape, width) => (shape.norm === "rms" ? width : 2 * width);
const blockParameters = (shape) => times(shape.shared ? 1 : shape.layers, block(shape));
const finalNorm = (shape) =>
  shape.order === "pre" ? { "final norm": normSize(shape, shape.d_model) } : {};

function embedding(shape) {
  const width = shape.d_embedding ?? shape.d_model;
  const bill = { tokens: shape.vocab * width };
  if (shape.positions === "learned") bill.positions = shape.context * width;
  if (shape.segments) bill.segments = shape.segments * width;
  if (shape.order === "post") bill["embedding norm"] = normSize(shape, width);
  if (shape.d_embedding) bill["embedding map"] = (width + 1) * shape.d_model;
  return bill;
}

/** Parameters of a model that writes; a tied output costs nothing. */
export function decoderParameters(shape) {
  const bill = { ...embedding(shape), ...blockParameters(shape), ...finalNorm(shape) };
  if (shape.tied) return bill;
  return { ...bill, output: shape.vocab * shape.d_model + (shape.biases !== "none" ? shape.vocab : 0) };
}

/** Parameters of a model that reads, without an output. */
export function encoderParameters(shape) {
  const bill = { ...embedding(shape), ...blockParameters(shape), ...finalNorm(shape) };
  return shape.pooler ? { ...bill, pooler: (shape.d_model + 1) * shape.d_model } : bill;
}

/** Parameters of a model that reads vectors of `dInput` numbers, patches of an image. */
export function classifierParameters(shape, dInput) {
  return {
    input: (dInput + 1) * shape.d_model,
    "first token": shape.d_model,
    positions: shape.context * shape.d_model,
    ...blockParameters(shape),
    ...finalNorm(shape),
    output: (shape.d_model + 1) * shape.vocab,
  };
}

// Operations

const matmul = (rows, inner, columns) => 2 * rows * inner * columns;

/** Pairs of a query and a key that the plain code multiplies. */
export const executedPairs = (tokens) => tokens ** 2;
/** Pairs that a causal mask allows. */
export const neededPairs = (tokens) => (tokens * (tokens + 1)) / 2;

function blockOperations(shape, tokens, pairs) {
  const [d, width] = [shape.d_model, attentionWidth(shape)];
  const maps = shape.activation === "swiglu" ? 3 : 2;
  return times(shape.layers, {
    queries: matmul(tokens, d, width),
    "keys and values": 2 * matmul(tokens, d, dKv(shape)),
    scores: pairs * matmul(1, width, 1),
    mixing: pairs * matmul(1, 1, width),
    output: matmul(tokens, width, d),
    mlp: maps * matmul(tokens, d, shape.d_ff),
  });
}

/** Operations of a forward pass of a model that writes, over one text. */
export function forward(shape, tokens, pairs = executedPairs(tokens)) {
  const bill = blockOperations(shape, tokens, pairs);
  if (shape.d_embedding) bill["embedding map"] = matmul(tokens, shape.d_embedding, shape.d_model);
  return { ...bill, logits: matmul(tokens, shape.d_model, shape.vocab) };
}

/** Operations of a forward pass of a model that reads, over one text. */
export function encode(shape, tokens) {
  const { logits, ...bill } = forward(shape, tokens);
  return shape.pooler ? { ...bill, pooler: matmul(1, shape.d_model, shape.d_model) } : bill;
}

/** Operations of a forward pass of a Vision Transformer over one image. */
export function classify(shape, dInput) {
  return {
    input: matmul(shape.context - 1, dInput, shape.d_model),
    ...blockOperations(shape, shape.context, executedPairs(shape.context)),
    classes: matmul(1, shape.d_model, shape.vocab),
  };
}

/** Operations to write one token behind `past` tokens whose keys and values are kept. */
export const decode = (shape, past) => forward(shape, 1, past + 1);

/** Operations of a training step on one text; with checkpointing the blocks run forward twice. */
export function trainingOperations(shape, tokens, pairs, checkpointing) {
  const again = checkpointing ? blockOperations(shape, tokens, pairs) : {};
  const bill = forward(shape, tokens, pairs);
  return Object.fromEntries(
    Object.entries(bill).map(([part, flops]) => [part, 3 * flops + (again[part] ?? 0)]),
  );
}

/** Length at which scores and mixing take as many operations as all maps of a block. */
export function crossoverTokens(shape, causal) {
  const { scores, mixing, ...maps } = blockOperations(shape, 1, 1);
  return ((causal ? 2 : 1) * total(maps)) / (scores + mixing);
}

// Bytes

/** Bytes of so many numbers of so many bits, the last byte full. */
export const bytesOf = (numbers, bits) => Math.ceil((numbers * bits) / 8);

/** Bytes of keys and values kept in all layers. */
export const kvCacheBytes = (shape, tokens, batch, bits) =>
  batch * bytesOf(2 * shape.layers * dKv(shape) * tokens, bits);

/** Bytes that a forward pass keeps for the backward pass of a model that writes. */
export function activations(shape, { tokens, batch, bits, storedScores, checkpointing }) {
  const [d, width] = [shape.d_model, attentionWidth(shape)];
  const norm = 2 * d + (shape.norm === "layer" ? 2 : 1 + d);
  const inBlock = {
    norms: 2 * norm,
    attention: (shape.positions === "rotary" && !storedScores ? 5 : 4) * width,
    scores: shape.heads * (storedScores ? tokens : 1),
    "feed-forward": ({ relu: 1, swiglu: 4 }[shape.activation] ?? 2) * shape.d_ff,
  };
  const numbers = {
    ...(checkpointing ? { ...inBlock, inputs: shape.layers * d } : times(shape.layers, inBlock)),
    "last norm": norm,
    logits: shape.vocab,
  };
  return Object.fromEntries(
    Object.entries(numbers).map(([part, count]) => [part, bytesOf(batch * tokens * count, bits)]),
  );
}

/** Bytes of weights, gradients and Adam, without activations; in 16 bits Adam keeps a copy in 32. */
export const trainingBytes = (parameters, bits) => ({
  weights: bytesOf(parameters, bits),
  gradients: bytesOf(parameters, bits),
  optimiser: bytesOf((bits < 32 ? 3 : 2) * parameters, 32),
});

// Time: computing or fetching, whichever takes longer. A piece of work is { flops, bytes }.

/** Operations a second in products of that dtype; a dtype without a rate is widened. undefined: none. */
export function peak(accelerator, dtype, bits) {
  const wider = ["bfloat16", "float16", "float32", "float64"].filter((one) => bits[one] > bits[dtype]);
  return [dtype, ...wider].map((one) => accelerator.flops_per_second[one]).find(Boolean);
}

/** Seconds of each part for computing, and for fetching. */
export function seconds(work, rate, accelerator) {
  const each = (of) => Object.fromEntries(Object.entries(work).map(([part, piece]) => [part, of(piece)]));
  return {
    computing: each(({ flops }) => flops / rate),
    fetching: each(({ bytes }) => bytes / accelerator.bytes_per_second),
  };
}

/** The longer of the two, part by part. */
export const longer = ({ computing, fetching }) =>
  Object.fromEntries(Object.keys(computing).map((part) => [part, Math.max(computing[part], fetching[part])]));

const sumOf = (bill, ...parts) => parts.reduce((sum, part) => sum + bill[part], 0);
const maps = (bill) => sumOf(bill, "queries", "keys and values", "output");
const square = (bill) => sumOf(bill, "scores", "mixing");

/** Work to write one token in each of `batch` texts. */
export function decodeWork(shape, { past, batch, bits }) {
  const flops = decode(shape, past);
  const { attention, "feed-forward": feedForward } = times(shape.layers, block(shape));
  return {
    attention: { flops: batch * maps(flops), bytes: bytesOf(attention, bits) },
    "feed-forward": { flops: batch * flops.mlp, bytes: bytesOf(feedForward, bits) },
    logits: { flops: batch * flops.logits, bytes: bytesOf(shape.vocab * shape.d_model, bits) },
    cache: { flops: batch * square(flops), bytes: kvCacheBytes(shape, past + 1, batch, bits) },
  };
}

// numbers moved by a product, forward and backward: three tensors, three times
const moved = (rows, inner, columns) => 3 * (rows * inner + inner * columns + rows * columns);

/** Work of a training step, forward, backward and Adam. */
export function trainingWork(shape, { tokens, batch, bits }) {
  const [rows, width, d, layers] = [batch * tokens, attentionWidth(shape), shape.d_model, shape.layers];
  const flops = trainingOperations(shape, tokens, neededPairs(tokens), false);
  const factors = shape.activation === "swiglu" ? 3 : 2;
  const attention = moved(rows, d, width) + 2 * moved(rows, d, dKv(shape)) + moved(rows, width, d);
  const work = (count, numbers) => ({ flops: batch * count, bytes: bytesOf(numbers, bits) });
  return {
    attention: work(maps(flops), layers * attention),
    "feed-forward": work(flops.mlp, layers * factors * moved(rows, d, shape.d_ff)),
    logits: work(flops.logits, moved(rows, d, shape.vocab)),
    scores: work(square(flops), layers * 12 * rows * width),
    norms: work(0, (2 * layers + 1) * 5 * rows * d),
    bends: work(0, layers * 5 * rows * shape.d_ff),
    sums: work(0, 2 * layers * 6 * rows * d),
    loss: work(0, 5 * rows * shape.vocab),
    optimiser: work(0, 7 * total(decoderParameters(shape))),
  };
}

// The whole bill of one question: { does, shape, d_input, tokens, batch, dtype, bits, accelerator, place, work,
// utilisation, trained_tokens, stored_scores, checkpointing }, as `payattention.explorables.bill` answers it.

const GROUPS = {
  "feed-forward": ["mlp"],
  projections: ["queries", "keys and values", "output"],
  "input and output": ["logits", "pooler", "input", "classes", "embedding map"],
  arrows: ["scores", "mixing"],
};

/** Operations by the parts that are drawn; the arrows are scores and mixing, the square. */
export const grouped = (flops) =>
  Object.fromEntries(
    Object.entries(GROUPS).map(([name, parts]) => [name, parts.reduce((sum, part) => sum + (flops[part] ?? 0), 0)]),
  );

/** Parameters of what the question is about; a larger image has more places. */
export function parametersOf({ does, shape, d_input, tokens }) {
  if (does === "sees") return classifierParameters({ ...shape, context: tokens }, d_input);
  return does === "reads" ? encoderParameters(shape) : decoderParameters(shape);
}

/** Operations to read one text or image; who looks both ways needs what is executed. */
export function readingOperations({ does, shape, d_input, tokens }, needed) {
  if (does === "reads") return encode(shape, tokens);
  if (does === "sees") return classify({ ...shape, context: tokens }, d_input);
  return forward(shape, tokens, needed ? neededPairs(tokens) : executedPairs(tokens));
}

function readingWork(question) {
  const { does, shape, tokens, batch } = question;
  const bits = question.bits[question.dtype];
  const flops = grouped(readingOperations(question, true));
  const [counts, one] = [parametersOf(question), block(shape)];
  const ends = {
    writes: shape.vocab * shape.d_model,
    reads: counts.pooler ?? 0,
    sees: (counts.input ?? 0) + (counts.output ?? 0),
  };
  const bytes = {
    "feed-forward": bytesOf(shape.layers * one["feed-forward"], bits),
    projections: bytesOf(shape.layers * one.attention, bits),
    "input and output": bytesOf(ends[does], bits),
    arrows: does === "writes" ? kvCacheBytes(shape, tokens, batch, bits) : 0,
  };
  return Object.fromEntries(
    Object.keys(bytes).map((part) => [part, { flops: batch * flops[part], bytes: bytes[part] }]),
  );
}

/** What so many seconds take: electricity, carbon dioxide, water, and rent where it is known. */
export function spent(seconds, { watts, dollars_per_hour }, place) {
  const joules = seconds * watts * place.pue;
  const kilowattHours = joules / 3.6e6;
  const litres = [place.litres_on_site_per_kilowatt_hour, place.litres_of_generation_per_kilowatt_hour];
  const amounts = {
    seconds,
    joules,
    co2e_kilograms: kilowattHours * place.co2e_kilograms_per_kilowatt_hour,
    water_litres: kilowattHours * litres[0] + kilowattHours * litres[1],
  };
  return dollars_per_hour === null ? amounts : { ...amounts, dollars: (seconds / 3600) * dollars_per_hour };
}

/** Every line of the bill: sections named with their unit, each by part. */
export function bill(question) {
  const { does, shape, accelerator, dtype, bits, work } = question;
  const rate = peak(accelerator, dtype, bits);
  const crossover = { full: crossoverTokens(shape, false) };
  if (does === "writes") crossover.causal = crossoverTokens(shape, true);
  const lines = { parameters: parametersOf(question), crossover_tokens: crossover };
  return { ...lines, ...(work === "train" ? train(question, rate) : use(question, rate)) };
}

function secondsOf(what, work, rate, accelerator) {
  const { computing, fetching } = seconds(work, rate, accelerator);
  return { [`${what}_computing_seconds`]: computing, [`${what}_fetching_seconds`]: fetching };
}

function use(question, rate) {
  const { does, shape, tokens, batch, accelerator, place, utilisation } = question;
  const bits = question.bits[question.dtype];
  const held = { weights: bytesOf(total(parametersOf(question)), bits) };
  const reached = (work) => total(longer(seconds(work, rate, accelerator))) / utilisation;
  const reading = readingWork(question);
  const many = 1e6 / (does === "sees" ? batch : batch * tokens); // images, or tokens
  const lines = {
    reading_executed_flops: times(batch, readingOperations(question, false)),
    reading_needed_flops: times(batch, readingOperations(question, true)),
    held_bytes: held,
    ...secondsOf("reading", reading, rate, accelerator),
    million_read_spent: spent(reached(reading) * many, accelerator, place),
  };
  if (does !== "writes") return lines;
  held.cache = kvCacheBytes(shape, tokens, batch, bits);
  const writing = decodeWork(shape, { past: tokens, batch, bits });
  return {
    ...lines,
    writing_flops: times(batch, decode(shape, tokens)),
    ...secondsOf("writing", writing, rate, accelerator),
    million_written_spent: spent(reached(writing) * (1e6 / batch), accelerator, place),
  };
}

function train(question, rate) {
  const { shape, tokens, batch, accelerator, place, utilisation } = question;
  const [bits, again] = [question.bits[question.dtype], question.checkpointing];
  const executed = trainingOperations(shape, tokens, executedPairs(tokens), again);
  const needed = trainingOperations(shape, tokens, neededPairs(tokens), again);
  const once = trainingOperations(shape, tokens, neededPairs(tokens), false);
  const kept = activations(shape, {
    tokens, batch, bits, storedScores: question.stored_scores, checkpointing: again,
  });
  const { scores, ...others } = kept;
  const work = trainingWork(shape, { tokens, batch, bits });
  work["blocks once more"] = { flops: batch * (total(needed) - total(once)), bytes: 0 };
  const time = ((total(needed) / tokens) * question.trained_tokens) / (rate * utilisation);
  return {
    step_executed_flops: times(batch, executed),
    step_needed_flops: times(batch, needed),
    held_bytes: {
      ...trainingBytes(total(parametersOf(question)), bits), activations: total(others), scores,
    },
    ...secondsOf("step", work, rate, accelerator),
    training_spent: spent(time, accelerator, place),
  };
}
