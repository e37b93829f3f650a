// All trials in a table: sorted, filtered, a page at a time.

const PAGE = 50;
const stale = new Set(trials.stale);

// A column: its heading, its text for a trial, and what it is sorted by (the text, where nothing else is said).
function coded(id, label, codes, words) {
  return { id, label, read: (trial) => words[codes[trial]] ?? MISSING, rank: (trial) => codes[trial] };
}

function placed(axis, i) {
  const at = (trial) => positionOf(trials.cell[trial])[i];
  return { id: `axis${i}`, label: axis.name, read: (trial) => axis.values[at(trial)], rank: at };
}

function drawnAtRandom(sampled, i) {
  const values = sampled.values && numbers(sampled.values);
  const rank = values && ((trial) => values[trials.cell[trial]]);
  return { id: `drawn${i}`, label: sampled.name, read: (trial) => sampled.labels[trials.cell[trial]], rank };
}

function counted(metric, split) {
  const values = column(columnOf(metric, split));
  const label = [split, metric.label].filter(Boolean).join(" ");
  return { id: columnOf(metric, split), label, read: (trial) => written(values[trial], metric.kind), rank: (trial) => values[trial], number: true };
}

// The scores and losses; all other metrics are in the cards and in the CSV.
function measures() {
  const shown = data.metrics.filter(({ id }) => ["accuracy", "r2", "loss", "deviation", "epochs_run", "train_seconds"].includes(id));
  return shown
    .flatMap((metric) => (metric.splits.length ? metric.splits : [""]).map((split) => [metric, split]))
    .filter(([metric, split]) => column(columnOf(metric, split)))
    .map(([metric, split]) => counted(metric, split));
}

const COLUMNS = [
  coded("backend", "backend", trials.backend, data.backends),
  ...(data.modes.length > 1 ? [coded("mode", "mode", trials.mode, data.modes)] : []),
  ...data.axes.map(placed),
  ...data.sampled.map(drawnAtRandom),
  ...(data.seeds.length > 1 ? [coded("seed", "seed", trials.seed, data.seeds.map((seed) => seed.replace("seed ", "")))] : []),
  coded("status", "status", trials.status, trials.statuses),
  ...(trials.verdict.some((verdict) => verdict >= 0) ? [coded("verdict", "verdict", trials.verdict, trials.verdicts)] : []),
  ...measures(),
  coded("reason", "reason", trials.reason, trials.reasons),
  { id: "id", label: "trial", read: (trial) => trials.id[trial] + (stale.has(trial) ? " (stale)" : "") },
];

const haystack = lazily((trial) => COLUMNS.filter((each) => !each.number).map((each) => each.read(trial)).join("\u0000").toLowerCase());

function wantedTrials() {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const found = trials.status.map((_, trial) => trial).filter(
    (trial) =>
      (state.status === "" || trials.statuses[trials.status[trial]] === state.status) &&
      (state.of === "" || data.backends[trials.backend[trial]] === state.of) &&
      words.every((word) => haystack(trial).includes(word)),
  );
  const [id, order] = state.sort.split(" ");
  const by = COLUMNS.find((each) => each.id === id);
  return by ? sorted(found, by, order === "down" ? -1 : 1) : found;
}

// What is missing stands last, whichever way a column is sorted; what is equal keeps its order.
function sorted(found, { rank, read }, sign) {
  const values = new Map(found.map((trial) => [trial, rank ? rank(trial) : read(trial)]));
  const missing = (value) => value === -1 || value === MISSING || Number.isNaN(value);
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return [...found].sort((one, other) => {
    const [a, b] = [values.get(one), values.get(other)];
    return missing(a) || missing(b) ? missing(a) - missing(b) : sign * compare(a, b);
  });
}

function drawTrials() {
  const found = wantedTrials();
  const pages = Math.max(Math.ceil(found.length / PAGE), 1);
  const page = Math.min(Math.max(Number.parseInt(state.page, 10) || 1, 1), pages);
  const [from, to] = [(page - 1) * PAGE, Math.min(page * PAGE, found.length)];
  byId("trials-head").replaceChildren(...COLUMNS.map(heading));
  byId("trials-body").replaceChildren(...found.slice(from, to).map(trialRow));
  const all = trials.status.length;
  const of = found.length === all ? `${all} trials` : `${found.length} of ${all} trials`;
  byId("trials-count").textContent = found.length > PAGE ? `${of}; ${from + 1} to ${to} are shown` : of;
  byId("trials-before").disabled = page === 1;
  byId("trials-after").disabled = page === pages;
  byId("trials-pages").hidden = pages === 1;
  return page;
}

function heading(each) {
  const [id, order] = state.sort.split(" ");
  const mine = id === each.id;
  const button = element("button", { type: "button", "data-sort": each.id }, name(each.label));
  const sorting = mine ? (order === "down" ? "descending" : "ascending") : "none";
  return element("th", { scope: "col", "aria-sort": sorting, class: each.number ? "number" : null }, button);
}

function trialRow(trial) {
  return element(
    "tr",
    { "data-trial": trials.id[trial] },
    ...COLUMNS.map((each, i) => element(i ? "td" : "th", i ? { class: each.number ? "number" : null } : { scope: "row" }, each.number ? each.read(trial) : name(each.read(trial)))),
  );
}

function listenToTrials() {
  fill(byId("trials-status"), [["", "any status"], ...used(trials.status, trials.statuses)], state.status);
  fill(byId("trials-of"), [["", "all backends"], ...data.backends.map((each) => [each, each])], state.of);
  byId("trials-head").addEventListener("click", (event) => {
    const id = event.target.closest("button")?.dataset.sort;
    if (!id) return;
    const [now, order] = state.sort.split(" ");
    const sort = now !== id ? `${id} up` : order === "up" ? `${id} down` : "";
    choose({ sort, page: "1" });
    byId("trials-head").querySelector(`[data-sort="${id}"]`).focus();
  });
  byId("trials-find").addEventListener("input", (event) => {
    choose({ find: event.target.value, page: "1" }, { remember: false });
  });
  byId("trials-status").addEventListener("change", (event) => choose({ status: event.target.value, page: "1" }));
  byId("trials-of").addEventListener("change", (event) => choose({ of: event.target.value, page: "1" }));
  byId("trials-before").addEventListener("click", () => choose({ page: String(drawTrials() - 1) }));
  byId("trials-after").addEventListener("click", () => choose({ page: String(drawTrials() + 1) }));
}

function used(codes, words) {
  return [...new Set(codes)].sort((a, b) => a - b).map((code) => [words[code], words[code]]);
}
