// The card of a cell: its numbers, those of the other backends, what failed, its curves, and the lines that were run.

const HINT =
  "Point at a cell, or go there with the tab and arrow keys, for all of its numbers. Enter or a click pins it, two at most; Escape lets go.";

function drawCards() {
  const view = viewOf();
  const pins = pinsOf();
  const shown = current && !pins.some((pin) => same(pin, current)) ? [...pins, current] : pins;
  const opened = new Set([...document.querySelectorAll("#cards details[open]")].map((details) => details.dataset.backend));
  const cards = shown.map((at) => card(view, at, pins.some((pin) => same(pin, at)), opened));
  byId("cards").replaceChildren(...(cards.length ? cards : [element("p", { class: "soft" }, HINT)]));
  byId("cards").classList.toggle("filled", cards.length > 0);
}

function card(view, { backend, cell }, pinned, opened) {
  const title = titleOf(view, backend);
  const button = element("button", { type: "button", class: "pin", "aria-pressed": String(pinned) }, pinned ? "Unpin" : "Pin");
  button.addEventListener("click", () => togglePin(backend, cell));
  return element(
    "article",
    {
      class: "card-cell",
      "data-backend": backend,
      "data-cell": cell,
      "data-pinned": String(pinned),
      "aria-label": `${cut(title)}, ${describe(cell)}`,
    },
    element("header", {}, element("h3", {}, name(title)), element("p", { class: "where" }, ...whereOf(cell)), button),
    view.minus === null ? null : comparison(view, backend, cell),
    element(
      "div",
      { class: "parts" },
      element("div", { class: "own-part" }, ...ownNumbers(view, backend, cell)),
      element("div", {}, backendsTable(view, backend, cell), ...failures(view, cell)),
      element("div", { class: "drawn" }, curveChart(view, backend, cell)),
      element("div", { class: "ran" }, ...callsList(view, backend, cell, opened)),
    ),
  );
}

function whereOf(cell) {
  const places = placeNames(cell).map(([axis, value]) =>
    element("span", { class: "place" }, name(axis), " ", element("b", {}, name(value))),
  );
  return places.length ? places : ["the only cell"];
}

// A difference in words, with its interval.
function comparison(view, backend, cell) {
  const facts = difference(view, backend, view.minus, cell);
  const { kind } = view.metric;
  if (Number.isNaN(facts.value)) return element("p", { class: "told" }, facts.mark || "Nothing to compare.");
  const alone = data.seeds.length > 1 ? "one seed in both" : "one seed";
  const verdict = Number.isNaN(facts.low) ? `${alone}: no estimate of its noise` : facts.shown ? "a difference is shown" : "no difference shown";
  const p = Number.isNaN(facts.p) ? "" : `, p ${number(facts.p, 2)} (Holm, over the cells)`;
  const interval = intervalOf(facts, kind);
  const value = signed(facts.value, (size) => spreadWritten(size, kind));
  return element("p", { class: "told" }, `${value}: ${verdict}`, interval ? ` (${interval}${p})` : "", ".");
}

// The numbers of the cell's own backend: a line a metric, a column a split; below, what has no split.
function ownNumbers(view, backend, cell) {
  const text = (metric, split) => numberText(measured(view, backend, cell, metric, split), metric.kind);
  const asked = (metric, split) => metric === view.metric && (!split || split === view.split);
  const splits = Object.keys(SPLIT_WORDS).filter((split) => data.metrics.some((metric) => metric.splits.includes(split)));
  const known = data.metrics.filter((metric) => metric.splits.some((split) => text(metric, split) !== MISSING));
  const rows = known.map((metric) =>
    element(
      "tr",
      { "data-metric": metric.id },
      element("th", { scope: "row" }, metric.label),
      ...splits.map((split) => {
        const there = metric.splits.includes(split);
        return element("td", { class: asked(metric, split) ? "number asked" : "number" }, there ? text(metric, split) : MISSING);
      }),
    ),
  );
  const others = data.metrics.filter((metric) => !metric.splits.length && text(metric, "") !== MISSING);
  const facts = others.map((metric) =>
    element("span", { class: asked(metric, "") ? "fact asked" : "fact", "data-metric": metric.id }, `${metric.label} `, element("b", {}, text(metric, ""))),
  );
  const table_ = rows.length ? scrolled(["", ...splits.map((split) => SPLIT_WORDS[split])], rows, "The numbers of this cell", "own") : null;
  return [table_, facts.length ? element("p", { class: "lone" }, ...facts) : null];
}

// What all backends have in this cell: a line each.
function backendsTable(view, chosen, cell) {
  const beside = ["deviation", "train_seconds"].map(metricOf).filter((metric) => metric && metric !== view.metric);
  const known = (metric) => data.planned[view.mode].some((backend) => !Number.isNaN(measured(view, backend, cell, metric).value));
  const metrics = [view.metric, ...beside.filter(known)];
  const rows = data.planned[view.mode].map((backend) =>
    element(
      "tr",
      { "data-backend": backend, class: backend === chosen ? "chosen" : null },
      element("th", { scope: "row" }, name(data.backends[backend])),
      element("td", {}, statusText(view, backend, cell)),
      ...metrics.map((metric) => element("td", { class: "number" }, numberText(measured(view, backend, cell, metric), metric.kind))),
    ),
  );
  const headings = metrics.map((metric) => [metric.splits.length ? SPLIT_WORDS[view.split] : "", metric.label].filter(Boolean).join(" "));
  return scrolled(["", "status", ...headings], rows, "All backends in this cell", "others");
}

function scrolled(headings, rows, label, kind) {
  const head = headings.map((text, i) =>
    i ? element("th", { scope: "col", class: text === "status" ? null : "number" }, text) : element("td", {}),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
    element("table", { class: kind, "aria-label": label }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  );
}

function numberText(facts, kind) {
  if (Number.isNaN(facts.value)) return facts.mark.includes("not reached") ? facts.mark : MISSING;
  const spread = Number.isNaN(facts.std) ? "" : ` ± ${spreadWritten(facts.std, kind)}`;
  return `${written(facts.value, kind)}${spread}${facts.n < facts.planned ? ` (${facts.n} of ${facts.planned})` : ""}`;
}

function statusText(view, backend, cell) {
  const found = trialsAt(view.mode, backend, cell, view.seed);
  const agrees = found.length && found.every((trial) => trials.verdicts[trials.verdict[trial]] === "agrees");
  const verdicts = agrees ? ["agrees"] : ["differs", "chaotic"].filter((verdict) => verdictAmong(found, verdict));
  return [markOf(found) || "ok", ...verdicts].join(", ");
}

function failures(view, cell) {
  const lost = data.planned[view.mode]
    .flatMap((backend) => trialsAt(view.mode, backend, cell, view.seed))
    .filter((trial) => trials.reason[trial] >= 0);
  const told = lost.map((trial) => {
    const seed = data.seeds.length > 1 ? `, ${data.seeds[trials.seed[trial]]}` : "";
    const words = `${seed}: ${trials.statuses[trials.status[trial]]}: `;
    return element("li", {}, name(data.backends[trials.backend[trial]]), words, name(trials.reasons[trials.reason[trial]]));
  });
  return told.length ? [element("ul", { class: "reasons" }, ...told)] : [];
}

// Each backend's keyword arguments, as the lines that it ran.
function callsList(view, chosen, cell, opened) {
  return data.planned[view.mode]
    .map((backend) => [backend, callsOf(view.mode, backend, cell)])
    .filter(([, lines]) => lines.length)
    .map(([backend, lines]) =>
      element(
        "details",
        { "data-backend": backend, open: opened.has(String(backend)) },
        element("summary", backend === chosen ? { class: "chosen" } : {}, "What ", name(data.backends[backend]), " ran"),
        element("pre", { tabindex: "0", role: "group", "aria-label": "Lines of code" }, element("code", {}, lines.join("\n"))),
      ),
    );
}
