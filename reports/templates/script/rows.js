// The stored rows: columns of numbers by trial, and what is asked of them. Nothing here draws.

const data = JSON.parse(byId("rows").textContent);
const trials = data.trials;
const N_CELLS = data.axes.reduce((product, axis) => product * axis.values.length, 1);
const OK = trials.statuses.indexOf("ok");

function numbers(packed, width = 8) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return width === 8 ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

// Decodes once, when first asked for.
function lazily(decode) {
  const known = new Map();
  return (name) => {
    if (!known.has(name)) known.set(name, decode(name));
    return known.get(name);
  };
}

const column = lazily((name) => (name in trials.columns ? numbers(trials.columns[name]) : null));

const EMPTY = { n: [] };
const statistic = lazily((path) => {
  const [mode, backend, name, what] = path.split("/");
  const found = data.cells?.[mode]?.[backend]?.[name] ?? EMPTY;
  return what === "n" ? found.n : found[what] ? numbers(found[what]) : [];
});
const paired = lazily((path) => {
  const [mode, pair, name] = path.split("/");
  const found = data.pairs?.[mode]?.[pair]?.[name];
  if (!found) return null;
  const [difference, low, high] = ["difference", "low", "high"].map((what) => numbers(found[what]));
  return { difference, low, high, p: numbers(found.p, 4), n: found.n, shown: found.shown };
});

const whereTrials = new Map();
trials.cell.forEach((cell, trial) => {
  const place = `${trials.mode[trial]}/${trials.backend[trial]}/${cell}`;
  if (!whereTrials.has(place)) whereTrials.set(place, []);
  whereTrials.get(place).push(trial);
});

function trialsAt(mode, backend, cell, seed = null) {
  const found = whereTrials.get(`${data.modes.indexOf(mode)}/${backend}/${cell}`) ?? [];
  return seed === null ? found : found.filter((trial) => trials.seed[trial] === seed);
}

// The place of a cell on every axis, and back: the last axis runs fastest.
function positionOf(cell) {
  const position = [];
  for (const axis of [...data.axes].reverse()) {
    position.unshift(cell % axis.values.length);
    cell = Math.floor(cell / axis.values.length);
  }
  return position;
}

function cellAt(position) {
  return position.reduce((cell, at, i) => cell * data.axes[i].values.length + at, 0);
}

function placeNames(cell) {
  const position = positionOf(cell);
  const places = data.axes.map((axis, i) => [axis.name, axis.values[position[i]]]);
  return [...places, ...data.sampled.map((drawnAt) => [drawnAt.name, drawnAt.labels[cell]])];
}

function describe(cell) {
  return placeNames(cell).map(([axis, value]) => `${cut(axis)} ${cut(value)}`).join(", ");
}

function columnOf(metric, split) {
  return metric.splits.length ? `${split}_${metric.id}` : metric.id;
}

// What did not finish, in words: "", "diverged", or with several seeds "1/3 diverged".
function markOf(found) {
  if (!found.length) return "not planned";
  const counts = new Map();
  for (const trial of found) {
    const status = trials.status[trial];
    if (status !== OK) counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const words = [...counts].map(([status, n]) => [trials.statuses[status], n]);
  if (words.length === 1 && words[0][1] === found.length) return words[0][0];
  return words.map(([word, n]) => `${n}/${found.length} ${word}`).join(", ");
}

function verdictAmong(found, verdict) {
  const code = trials.verdicts.indexOf(verdict);
  return found.some((trial) => trials.verdict[trial] === code);
}

// A number of one backend's cell, of one seed or over all: value, std (NaN for one trial), n of how many, and marks.
function measured(view, backend, cell, metric = view.metric, split = view.split) {
  const found = trialsAt(view.mode, backend, cell, view.seed);
  const ok = found.filter((trial) => trials.status[trial] === OK);
  const name = columnOf(metric, split);
  const values = column(name);
  const facts = { planned: found.length, n: 0, value: NaN, std: NaN, mark: markOf(found) };
  facts.chaotic = verdictAmong(found, "chaotic");
  facts.differs = verdictAmong(found, "differs");
  if (!values) return facts;
  if (metric.kind === "deviation") return Object.assign(facts, worst(found, values));
  facts.n = ok.filter((trial) => Number.isFinite(values[trial])).length;
  if (found.length > 1) {
    const path = `${view.mode}/${backend}/${name}`;
    facts.value = statistic(`${path}/mean`)[cell] ?? NaN;
    facts.std = statistic(`${path}/std`)[cell] ?? NaN;
  } else if (facts.n) facts.value = values[ok[0]];
  const never = metric.id === "epochs_to_95" ? ok.filter((trial) => values[trial] === Infinity).length : 0;
  const lacking = ok.length - facts.n - never;
  facts.mark = [facts.mark, part(never, found.length, "not reached"), part(lacking, found.length, "no value")].filter(Boolean).join(", ");
  return facts;
}

function part(n, all, words) {
  return n === 0 ? "" : n === all ? words : `${n}/${all} ${words}`;
}

// Of several seeds the largest deviation; it is infinite where only one, backend or reference, diverged.
function worst(found, values) {
  const known = found.map((trial) => values[trial]).filter((value) => !Number.isNaN(value));
  return { n: known.length, value: known.length ? Math.max(...known) : NaN };
}

// Backend `a` minus backend `b` in one cell. The interval is that of reports/statistics.py; one seed has none. What it
// says is `shown` where no other seed was asked for; of several, `alone` that have a value in both shows nothing.
function difference(view, a, b, cell) {
  const [mine, theirs] = [measured(view, a, cell), measured(view, b, cell)];
  const facts = { planned: mine.planned, n: 0, value: NaN, low: NaN, high: NaN, p: NaN, shown: true, alone: false };
  facts.mark = mine.mark && mine.mark === theirs.mark ? `both ${mine.mark}` : pairMark(mine, theirs, b);
  facts.chaotic = mine.chaotic || theirs.chaotic;
  if (view.seed === null && data.seeds.length > 1) {
    const flipped = a > b;
    const found = paired(`${view.mode}/${flipped ? `${b},${a}` : `${a},${b}`}/${columnOf(view.metric, view.split)}`);
    if (!found || !found.n[cell]) return facts;
    const [value, low, high] = [found.difference[cell], found.low[cell], found.high[cell]];
    Object.assign(facts, { n: found.n[cell], p: found.p[cell], shown: found.shown[cell] === 1, alone: found.n[cell] === 1 });
    return Object.assign(facts, flipped ? { value: -value, low: -high, high: -low } : { value, low, high });
  }
  const both = Number.isFinite(mine.value) && Number.isFinite(theirs.value);
  return both ? Object.assign(facts, { n: 1, value: mine.value - theirs.value }) : facts;
}

function pairMark(mine, theirs, b) {
  return [mine.mark, theirs.mark && `${cut(data.backends[b], 20)} ${theirs.mark}`].filter(Boolean).join(", ");
}

// The thinned curves of a mode: for each of its trials the epochs, and where its values start in every column.
const curvesOf = lazily((mode) => {
  const stored = data.curves[mode];
  const spans = new Map();
  let start = 0;
  stored?.trial.forEach((trial, i) => {
    const epochs = stored.epochs[stored.kind[i]];
    spans.set(trial, { epochs, start });
    start += epochs.length;
  });
  return { spans, names: Object.keys(stored?.columns ?? {}), column: lazily((name) => numbers(stored.columns[name], 4)) };
});

function curve(mode, trial, name) {
  const curves = curvesOf(mode);
  const span = curves.spans.get(trial);
  if (!span || !curves.names.includes(name)) return [];
  const values = curves.column(name);
  return span.epochs.map((epoch, i) => [epoch, values[span.start + i]]).filter(([, value]) => !Number.isNaN(value));
}

function callsOf(mode, backend, cell) {
  return (data.calls.cells[mode]?.[backend]?.[cell] ?? []).map((line) => data.calls.lines[line]);
}
