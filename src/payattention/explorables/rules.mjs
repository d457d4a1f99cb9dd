// Who may look at whom: the rules of `payattention.patterns` that a reader can choose, their pairs counted
// row by row, and how far news gets. A setting is { preset, size, count, back, seed, own }; a mask is rows of
// true and false. A test compares all of it with Python's.

const PRIME = 2 ** 31 - 1;
const blockOf = (place, size) => Math.floor(place / size);
const upTo = (many, make) => Array.from({ length: many }, (_, i) => make(i));

// two numbers below 2 ** 31 multiplied in two halves, so that no digit is lost
const product = (a, b) => (((a * (b >>> 16)) % PRIME) * 65536 + a * (b & 65535)) % PRIME;

/** The block that a block looks at by its choice of that number: `RandomBlocks.drawn`. */
export function drawnBlock(block, choice, seed, among) {
  let number = (block * 69621 + choice * 40692 + seed * 16807 + 1) % PRIME;
  for (let i = 0; i < 4; i++) number = (product(number, number) + 48271) % PRIME;
  return number % among;
}

/** The blocks that a block looks at, its own among them. */
function blocksSeen({ size, count, back, seed }, block, tokens) {
  const among = back ? block + 1 : Math.ceil(tokens / size);
  return new Set([block, ...upTo(count, (choice) => drawnBlock(block, choice, seed, among))]);
}

const RULES = {
  dense: () => true,
  window: ({ size }, i, j) => Math.abs(i - j) < size,
  strided: ({ size }, i, j) => Math.abs(i - j) < size || (i - j) % size === 0,
  fixed: ({ size, count }, i, j) => blockOf(i, size) === blockOf(j, size) || j % size >= size - count,
  global: ({ size, count }, i, j) => Math.abs(i - j) < size || i < count || j < count,
  random: (setting, i, j, tokens) =>
    blocksSeen(setting, blockOf(i, setting.size), tokens).has(blockOf(j, setting.size)),
};

/** The mask as hexadecimal digits, four squares each, row after row. */
export function packed(mask) {
  const bits = mask.flat().map(Number).join("");
  const digits = bits.padEnd(4 * Math.ceil(bits.length / 4), "0").match(/.{4}/g);
  return digits.map((four) => parseInt(four, 2).toString(16)).join("");
}

const unpacked = (own, tokens) => {
  const bits = [...own].map((digit) => parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
  return upTo(tokens, (i) => upTo(tokens, (j) => bits[i * tokens + j] === "1"));
};

/** No more of a block's tokens than it has. */
export const settled = (setting) =>
  setting.preset === "fixed" ? { ...setting, count: Math.min(setting.count, setting.size) } : setting;

/** The whole square: true where a row may look at a column. */
export function maskOf(chosen, tokens) {
  const setting = settled(chosen);
  const { preset, back, own } = setting;
  const drawing = preset === "own" ? unpacked(own, tokens) : null;
  const rule = drawing ? (_, i, j) => drawing[i][j] : RULES[preset];
  return upTo(tokens, (i) => upTo(tokens, (j) => (!back || j <= i) && rule(setting, i, j, tokens)));
}

// How many columns a row may look at. `first` and `last` are the ends of its window.

const ROWS = {
  dense: (_, { last }) => last + 1,
  window: (_, { first, last }) => last - first + 1,
  strided: ({ size, back }, { i, first, last, tokens }) =>
    last - first + 1 + blockOf(i, size) + (back ? 0 : blockOf(tokens - 1 - i, size)),
  fixed: ({ size, count, back }, { i, tokens }) => {
    const start = i - (i % size);
    const before = blockOf(start, size) * count;
    if (back) return i - start + 1 + before;
    const all = blockOf(tokens, size) * count + Math.max(0, (tokens % size) - (size - count));
    const wide = Math.min(size, tokens - start);
    return wide + all - Math.max(0, wide - (size - count));
  },
  global: ({ count, back }, { i, first, last, tokens }) =>
    i < count ? (back ? i + 1 : tokens) : last - first + 1 + Math.min(count, first),
  random: ({ size, back }, { i, tokens, blocks }) => {
    const own = blockOf(i, size);
    const wide = (block) => (back && block === own ? (i % size) + 1 : Math.min(size, tokens - block * size));
    return [...blocks].reduce((sum, block) => sum + wide(block), 0);
  },
};

/** How many pairs a rule allows; never the square of `tokens` steps. */
export function pairsOf(chosen, tokens) {
  const setting = settled(chosen);
  const { preset, back } = setting;
  const reach = preset === "dense" ? tokens : setting.size;
  let [sum, blocks] = [0, null];
  for (let i = 0; i < tokens; i++) {
    if (preset === "random" && i % setting.size === 0) blocks = blocksSeen(setting, i / setting.size, tokens);
    const [first, last] = [Math.max(0, i - reach + 1), back ? i : Math.min(tokens - 1, i + reach - 1)];
    sum += ROWS[preset](setting, { i, first, last, tokens, blocks });
  }
  return sum;
}

/** For each token, in how many layers news of it gets to the row `asked`; 0 where `layers` do not. */
export function heardBy(mask, asked, layers) {
  const found = mask.map(() => 0);
  let rows = [asked];
  for (let layer = 1; layer <= layers && rows.length; layer++) {
    const seen = [...mask.keys()].filter((j) => found[j] === 0 && rows.some((i) => mask[i][j]));
    for (const j of seen) found[j] = layer;
    rows = seen; // what older ones look at has been heard already
  }
  return found;
}
