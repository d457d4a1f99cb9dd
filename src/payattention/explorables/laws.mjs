// Scaling laws: the formulas of `payattention.scaling_laws`. A law is its constants as JSON, with its `kind`:
// additive, repeated (where text is read again) or kaplan. A test compares all of them with Python's.

const OPERATIONS = 6; // for each parameter and token of a training
const PETAFLOP_DAY = 1e15 * 86400;
const MOST_LOG_FLOPS = Math.log(1e39);

/** Where in an interval a rising function is 0, to the last digits. */
function rootBetween(low, high, rising) {
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (rising(middle) < 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const exponentOf = (law) => law.beta / (law.alpha + law.beta); // of the parameters, along the optimum
const balance = (law) => ((law.alpha * law.A) / (law.beta * law.B)) ** (1 / (law.alpha + law.beta));
const additiveLoss = (law, parameters, tokens) =>
  law.E + law.A / parameters ** law.alpha + law.B / tokens ** law.beta;

// Text that is read again. A law whose repetitions lose nothing has null for their number.

const endless = (law) => law.repeats_of_tokens === null || law.repeats_of_parameters === null;

function worth(all, fresh, repeats) {
  if (repeats === null) return all;
  const again = Math.max(all / fresh - 1, 0);
  return Math.min(all, fresh) + fresh * repeats * -Math.expm1(-again / repeats);
}

function fedBy(law, tokens) {
  const exponent = exponentOf(law);
  return balance(law) * (tokens * balance(law)) ** (exponent / (1 - exponent));
}

function logGain(all, fresh, [factor, exponent, repeats]) {
  const again = repeats === null ? 0 : Math.max(all / fresh - 1, 0) / repeats;
  return Math.log(exponent * factor * all) - (exponent + 1) * Math.log(worth(all, fresh, repeats)) - again;
}

function repeatedSize(law, product, unique) {
  const fed = fedBy(law, unique);
  const ofText = [law.B, law.beta, law.repeats_of_tokens];
  const ofSize = [law.A, law.alpha, law.repeats_of_parameters];
  const tilt = (logSize) => {
    const size = Math.exp(logSize);
    return logGain(product / size, unique, ofText) - logGain(size, fed, ofSize);
  };
  return Math.exp(rootBetween(Math.log(fed), Math.log(product / unique), tilt));
}

// All laws. `unique` is how much text there is; null, or nothing, for no end of it.

/** Loss of a model of this size after this much text. */
export function lossOf(law, parameters, tokens, unique = null) {
  if (law.kind === "kaplan")
    return ((law.N_c / parameters) ** (law.alpha_N / law.alpha_D) + law.D_c / tokens) ** law.alpha_D;
  if (law.kind !== "repeated" || unique === null) return additiveLoss(law, parameters, tokens);
  const size = worth(parameters, fedBy(law, unique), law.repeats_of_parameters);
  return additiveLoss(law, size, worth(tokens, Math.min(tokens, unique), law.repeats_of_tokens));
}

/** Size, text and loss that the law advises for a training of so many operations. */
export function optimumOf(law, flops, unique = null) {
  const product = flops / OPERATIONS;
  let parameters;
  if (law.kind === "kaplan") parameters = law.N_e * (flops / 2 / PETAFLOP_DAY) ** law.parameters_exponent;
  else parameters = balance(law) * product ** exponentOf(law);
  if (law.kind === "repeated" && unique !== null && unique < product / parameters)
    parameters = repeatedSize(law, product, unique);
  const tokens = product / parameters;
  return { parameters, tokens, loss: lossOf(law, parameters, tokens, unique) };
}

/** Tokens for each parameter of the optimum. */
export function tokensPerParameter(law, flops, unique = null) {
  const { parameters, tokens } = optimumOf(law, flops, unique);
  return tokens / parameters;
}

/** Size, text and loss where Kaplan's loss is lowest, which is not what its authors advise. */
export function lowestOf(law, flops) {
  const ratio = law.alpha_N / law.alpha_D;
  const product = flops / OPERATIONS;
  const parameters = ((ratio * law.N_c ** ratio * product) / law.D_c) ** (1 / (1 + ratio));
  return { parameters, tokens: product / parameters, loss: lossOf(law, parameters, product / parameters) };
}

/** Loss that no budget buys; Kaplan's law has none. */
export function leastLoss(law, unique = null) {
  if (law.kind === "kaplan") return 0;
  if (law.kind !== "repeated" || unique === null || endless(law)) return law.E;
  const size = fedBy(law, unique) * (1 + law.repeats_of_parameters);
  return additiveLoss(law, size, unique * (1 + law.repeats_of_tokens));
}

/** Operations that a training of the advised size needs to end at this loss; null if none do. */
export function flopsFor(law, loss, unique = null) {
  const least = leastLoss(law, unique);
  if (!(loss > least)) return null;
  if (law.kind !== "kaplan" && least === law.E) {
    const excess = optimumOf(law, OPERATIONS).loss - law.E;
    return OPERATIONS * (excess / (loss - law.E)) ** (1 / lossExponent(law));
  }
  const above = (logFlops) => loss - optimumOf(law, Math.exp(logFlops), unique).loss;
  if (above(0) > 0 || above(MOST_LOG_FLOPS) < 0) return null;
  return Math.exp(rootBetween(0, MOST_LOG_FLOPS, above));
}

const lossExponent = (law) =>
  law.kind === "kaplan" ? law.loss_exponent : (law.alpha * law.beta) / (law.alpha + law.beta);

/** By what a budget has to grow, for the loss above its floor to fall to this share. */
export const flopsFactor = (law, ofExcess = 0.5) => ofExcess ** (-1 / lossExponent(law));
