// Numbers in words, as a page writes them: those of `quantities.py`, three digits and the largest unit that fits.

const rounded = (value) => Number(value.toPrecision(3));
const withCommas = (value) =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(rounded(value));

/** A number with three digits that count, in words up to a thousand trillions. */
export function amount(value) {
  if (value === 0 || (value >= 1e-4 && value < 1e5)) return withCommas(value);
  const named = [["trillion", 1e12], ["billion", 1e9], ["million", 1e6]];
  const found = named.find(([, size]) => size <= rounded(value) && rounded(value) < 1e15);
  if (found) return `${withCommas(rounded(value) / found[1])} ${found[0]}`;
  if (value >= 1e5 && value < 1e6) return withCommas(rounded(value));
  const [mantissa, power] = value.toExponential(2).split("e");
  const raised = String(Number(power)).replace(/[-\d]/g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
  return `${Number(mantissa)} × 10${raised}`;
}

const UNITS = {
  bytes: [["PB", 1e15], ["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3], ["bytes", 1]],
  seconds: [
    ["years", 365 * 86400], ["days", 86400], ["hours", 3600], ["minutes", 60], ["s", 1], ["ms", 1e-3],
    ["µs", 1e-6], ["ns", 1e-9],
  ],
  kilowatt_hours: [["TWh", 1e9], ["GWh", 1e6], ["MWh", 1e3], ["kWh", 1], ["Wh", 1e-3], ["mWh", 1e-6]],
  kilograms: [["t", 1e3], ["kg", 1], ["g", 1e-3], ["mg", 1e-6]],
  litres: [["m³", 1e3], ["l", 1], ["ml", 1e-3], ["µl", 1e-6]],
};

/** A quantity in the largest of its units of which there is one at least. */
export function quantity(value, unit) {
  const [name, size] = UNITS[unit].find(([, one]) => rounded(value) >= one) ?? UNITS[unit].at(-1);
  return `${amount(value / size)}\u00a0${name}`;
}

/** Dollars without their sign: cents up to a hundred, then as `amount`. */
export const dollarsText = (dollars) => (dollars >= 1 && dollars < 100 ? dollars.toFixed(2) : amount(dollars));
