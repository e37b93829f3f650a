// Numbers for people, digit for digit as reports/style.py writes them: `1e-5`, `0.944`, `7.1e-15`, `76 ms`.
// JavaScript rounds an exact tie up, Python to the even digit; `settled` does as Python does.

const MISSING = "–";

function settled(exact, kept, rounded) {
  const tie = /^50*$/.test(exact.slice(kept).replace(".", ""));
  const even = "02468".includes(exact.slice(0, kept).replace(".", "").at(-1));
  return tie && even ? exact.slice(0, kept) : rounded;
}

function fixed(value, digits) {
  const exact = value.toFixed(100);
  const dot = exact.indexOf(".");
  return settled(exact, digits ? dot + 1 + digits : dot, value.toFixed(digits));
}

function scientific(value, digits) {
  const [exact, power] = value.toExponential(100).split("e");
  const tied = settled(exact, digits ? digits + 2 : 1, "");
  const [mantissa, exponent] = tied ? [tied, power] : value.toExponential(digits).split("e");
  return [mantissa, Number(exponent)];
}

function withoutZeros(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

function number(value, digits = 4) {
  if (Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (value === 0) return "0";
  if (value < 0) return `-${number(-value, digits)}`;
  const [mantissa, exponent] = scientific(value, digits - 1);
  if (exponent >= -2 && exponent < 6) return withoutZeros(fixed(value, Math.max(digits - 1 - exponent, 0)));
  return `${withoutZeros(mantissa)}e${exponent}`;
}

function score(value) {
  if (Number.isNaN(value)) return MISSING;
  const size = Math.abs(value);
  const text = size < 10 ? fixed(size, 3) : size < 1000 ? fixed(size, 1) : number(size, 1);
  return value < 0 && text !== "0.000" ? `−${text}` : text;
}

// A difference, its sign always shown: `+0.031`, `−0.820`, `0.000`.
function signed(value, write = score) {
  if (Number.isNaN(value)) return MISSING;
  const text = write(Math.abs(value));
  return text === write(0) ? text : `${value > 0 ? "+" : "−"}${text}`;
}

function deviation(value) {
  if (Number.isNaN(value) || value === 0 || !Number.isFinite(value)) return number(value);
  return scientific(value, 1).join("e");
}

function magnitude(value) {
  if (!(value >= 999.5) || !Number.isFinite(value)) return number(value, 1);
  return scientific(value, 0).join("e");
}

function seconds(value) {
  if (Number.isNaN(value)) return MISSING;
  if (value < 0) return `−${seconds(-value)}`;
  for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) {
    if (value >= 0.9995 * size) return `${fixed(value / size, value < 9.95 * size ? 1 : 0)} ${unit}`;
  }
  return "0 s";
}

// A loss or an error: three significant digits, two beside an exponent.
function size(value) {
  const text = number(value, 3);
  return text.includes("e") ? number(value, 2) : text;
}

// A count, or a mean of counts.
function whole(value) {
  if (Math.abs(value) < 100 || !Number.isFinite(value)) return number(value, 3);
  return Math.abs(value) < 1e6 ? fixed(value, 0) : number(value);
}

// By kind of metric: in a table, in a tile, and as a standard deviation or half an interval.
const WRITTEN = {
  score: [score, score, score],
  loss: [number, size, (value) => number(value, 2)],
  seconds: [seconds, seconds, seconds],
  deviation: [deviation, magnitude, deviation],
  count: [(value) => (value === Infinity ? "not reached" : whole(value)), whole, whole],
};

function written(value, kind) {
  return WRITTEN[kind][0](value);
}

function small(value, kind) {
  return WRITTEN[kind][1](value);
}

function spreadWritten(value, kind) {
  return WRITTEN[kind][2](value);
}
