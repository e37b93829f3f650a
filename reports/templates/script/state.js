// What the reader has chosen. It lives in the address, after the #, and nowhere else: only what is not the default.

const DEFAULTS = {
  mode: data.start.mode,
  metric: data.start.metric,
  split: data.start.split,
  seed: "mean",
  backend: "",
  minus: "",
  down: data.layout.down === null ? "" : String(data.layout.down),
  across: data.layout.across === null ? "" : String(data.layout.across),
  at: "",
  pins: "",
  sort: "",
  find: "",
  status: "",
  of: "",
  page: "1",
};

const state = { ...DEFAULTS };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(DEFAULTS)) state[key] = given.get(key) ?? value;
  mend();
}

// An address may come from elsewhere: what this report does not have becomes the default.
function mend() {
  const allow = (key, known) => {
    if (!known.includes(state[key])) state[key] = known.includes(DEFAULTS[key]) ? DEFAULTS[key] : known[0];
  };
  allow("mode", data.modes);
  allow("metric", data.metrics.map((metric) => metric.id));
  const { splits } = metricOf(state.metric);
  if (splits.length) allow("split", splits);
  allow("seed", ["mean", ...data.seeds.keys()].map(String));
  const planned = data.planned[state.mode].map(String);
  allow("backend", ["", ...planned]);
  allow("minus", ["", ...planned]);
  if (state.minus !== "" && state.minus === state.backend) state.minus = "";
  const axes = data.axes.map((_, i) => String(i));
  if (axes.length > 1) {
    allow("down", axes);
    allow("across", axes);
    if (state.down === state.across) state.across = axes.find((axis) => axis !== state.down);
  }
  state.pins = pinsOf().map(({ backend, cell }) => `${backend}.${cell}`).join(" ");
}

function addressOf() {
  const changed = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  return `#${new URLSearchParams(changed)}`;
}

// A choice is an entry of the browser's history, so that its back button takes it back; typing is not.
const OF_TRIALS = ["sort", "find", "status", "of", "page"];

function choose(changes, { remember = true } = {}) {
  Object.assign(state, changes);
  mend();
  const address = addressOf();
  if (address !== (location.hash || "#")) {
    if (remember) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }
  if (Object.keys(changes).every((key) => OF_TRIALS.includes(key))) drawTrials();
  else render();
}

function metricOf(id) {
  return data.metrics.find((metric) => metric.id === id);
}

function viewOf() {
  const metric = metricOf(state.metric);
  const shown = state.backend === "" ? data.planned[state.mode] : [Number(state.backend)];
  const minus = state.minus === "" ? null : Number(state.minus);
  return {
    mode: state.mode,
    metric,
    split: state.split,
    seed: state.seed === "mean" ? null : Number(state.seed),
    backends: shown.filter((backend) => backend !== minus),
    minus,
    fixed: fixedOf(),
  };
}

// `at` is "2:0,3:1": axis 2 stands at its first value, axis 3 at its second. An axis that is not named shows all.
const MOST_LINES = 12;

function otherAxes() {
  return data.axes.map((_, i) => i).filter((i) => data.axes.length > 1 && ![state.down, state.across].includes(String(i)));
}

function fixedOf() {
  const others = otherAxes();
  const lines = others.reduce((product, i) => product * data.axes[i].values.length, 1);
  const all = lines <= MOST_LINES;
  const given = new Map(state.at.split(",").filter(Boolean).map((pair) => pair.split(":")));
  return new Map(
    others.map((i) => {
      const value = given.get(String(i));
      const known = value === "all" || (value !== undefined && Number(value) in data.axes[i].values);
      return [i, known ? value : all ? "all" : "0"];
    }),
  );
}

function pinsOf() {
  const known = (pin) => pin && pin.backend < data.backends.length && pin.cell < N_CELLS;
  return [...new Set(state.pins.split(" "))].map(pinFrom).filter(known).slice(0, 2);
}

function pinFrom(text) {
  const found = /^(\d+)\.(\d+)$/.exec(text);
  return found && { backend: Number(found[1]), cell: Number(found[2]) };
}

function togglePin(backend, cell) {
  const pin = `${backend}.${cell}`;
  const pins = state.pins.split(" ").filter(Boolean);
  const kept = pins.includes(pin) ? pins.filter((other) => other !== pin) : [...pins, pin].slice(-2);
  choose({ pins: kept.join(" ") });
  say(pins.includes(pin) ? "Let go." : `Pinned: ${cut(data.backends[backend])}, ${describe(cell)}. ${kept.length} of 2.`);
}

function isDefaultView() {
  return ["mode", "metric", "split", "seed", "backend", "minus", "down", "across", "at"].every((key) => state[key] === DEFAULTS[key]);
}

function say(text) {
  byId("said").textContent = text;
}
