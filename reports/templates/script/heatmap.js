// The heatmaps: tables with the role of a grid, one a backend. Over the default picture the same tables lie invisible.

const CROWDED = 400; // cells of a panel from which on they are colours without numbers

// Lines of panels: one line for each combination of the axes that stand neither down nor across.
function linesOf(view) {
  const others = [...view.fixed].map(([axis, value]) => [axis, value === "all" ? [...data.axes[axis].values.keys()] : [Number(value)]]);
  const combinations = others.reduce(
    (lines, [axis, values]) => lines.flatMap((line) => values.map((value) => [...line, [axis, value]])),
    [[]],
  );
  const lines = combinations.map((combination) => ({
    heading: combination.map(([axis, value]) => `${data.axes[axis].name} = ${data.axes[axis].values[value]}`).join(", "),
    place: new Map(combination),
  }));
  const kept = lines.filter((line) => cellsOf(line).some((cell) => !data.scores[cell] || view.metric.scores.includes(data.scores[cell])));
  return kept.length ? kept : lines;
}

function cellOf(place, row, across) {
  const at = new Map(place);
  if (state.down !== "") at.set(Number(state.down), row);
  if (state.across !== "") at.set(Number(state.across), across);
  return cellAt(data.axes.map((_, i) => at.get(i) ?? 0));
}

function ticks(axis) {
  return axis === "" ? { name: "", values: [""] } : data.axes[Number(axis)];
}

// One panel a backend. With a single axis, or none, all backends stand in one panel, as its columns.
function panelsOf(view, line, together) {
  const [down, across] = [ticks(state.down), ticks(state.across)];
  if (together) {
    const columns = { name: "", values: view.backends.map((backend) => titleOf(view, backend)) };
    const at = (row, c) => ({ backend: view.backends[c], cell: cellOf(line.place, row, 0) });
    return [{ title: "", label: "all backends", down, across: columns, at }];
  }
  return view.backends.map((backend) => ({
    title: titleOf(view, backend),
    label: titleOf(view, backend),
    down,
    across,
    at: (row, c) => ({ backend, cell: cellOf(line.place, row, c) }),
  }));
}

function titleOf(view, backend) {
  const mine = data.backends[backend];
  return view.minus === null ? mine : `${mine} − ${data.backends[view.minus]}`;
}

function table(view, panel, scale, line = "") {
  const shape = panel.down.values.length * panel.across.values.length;
  const rows = panel.down.values.map((value, row) =>
    element(
      "tr",
      {},
      panel.down.name ? element("th", { scope: "row" }, name(value)) : null,
      ...panel.across.values.map((_, c) => {
        const { backend, cell } = panel.at(row, c);
        return tile(view, backend, cell, scale, { row, column: c });
      }),
    ),
  );
  const corner = panel.down.name ? element("td", { class: "corner" }) : null;
  const header = panel.across.values.some(Boolean)
    ? element("thead", {}, element("tr", {}, corner, ...panel.across.values.map((value) => element("th", { scope: "col" }, name(value)))))
    : null;
  const made = element(
    "table",
    { role: "grid", class: shape > CROWDED ? "grid crowded" : "grid", "aria-label": [cut(panel.label), line].filter(Boolean).join(", ") },
    header,
    element("tbody", {}, ...rows),
  );
  const first = made.querySelector("[role=gridcell]");
  if (first) first.tabIndex = 0;
  return made;
}

function tile(view, backend, cell, scale, at) {
  const facts = tileOf(view, backend, cell, scale);
  const classes = ["cell", ...Object.keys(facts.classes).filter((key) => facts.classes[key])];
  const pinned = pinsOf().some((pin) => pin.backend === backend && pin.cell === cell);
  const made = element(
    "td",
    {
      role: "gridcell",
      class: classes.join(" "),
      tabindex: "-1",
      "data-backend": backend,
      "data-cell": cell,
      "data-row": at.row,
      "data-column": at.column,
      "aria-selected": String(pinned),
      "aria-label": [titleOf(view, backend).slice(0, LONGEST), describe(cell), ...facts.said].filter(Boolean).join(", "),
    },
    element("span", { class: "value" }, facts.value),
    facts.second ? element("span", { class: "second" }, facts.second) : null,
    facts.note ? element("span", { class: "note" }, facts.note) : null,
  );
  if (facts.fill) {
    made.style.setProperty("--fill", css(facts.fill));
    made.style.setProperty("--on", inkOn(facts.fill));
  }
  return made;
}

function drawHeatmaps(view) {
  const lines = linesOf(view);
  const together = data.axes.length < 2;
  const cells = lines.flatMap((line) => cellsOf(line));
  const scale = scaleOf(view, cells);
  const shown = lines.map((line) =>
    element(
      "div",
      { class: "line" },
      line.heading ? element("h3", { class: "heading" }, name(line.heading)) : null,
      element(
        "div",
        { class: together ? "panels together" : "panels" },
        ...panelsOf(view, line, together).map((panel) =>
          element(
            "section",
            { class: "panel" },
            panel.title ? element(line.heading ? "h4" : "h3", {}, name(panel.title)) : null,
            element("div", { class: "scroll" }, table(view, panel, scale, cut(line.heading))),
          ),
        ),
      ),
    ),
  );
  byId("stage").replaceChildren(axesLine(), ...shown, colourBar(view, scale, shown));
}

function axesLine() {
  const [down, across] = [ticks(state.down).name, ticks(state.across).name];
  const parts = [down ? [name(down), " down"] : [], across ? [", ", name(across), " across"] : []];
  return element("p", { class: "axes" }, ...parts.flat());
}

function cellsOf(line) {
  const found = [];
  for (let row = 0; row < ticks(state.down).values.length; row += 1) {
    for (let c = 0; c < ticks(state.across).values.length; c += 1) found.push(cellOf(line.place, row, c));
  }
  return found;
}

// The default picture is drawn already: its cells get tables of the same shape, which are felt but not seen.
function coverPicture(view) {
  const picture = byId("default-picture");
  picture.querySelectorAll(".grid").forEach((old) => old.remove());
  const boxes = [...data.picture.boxes];
  for (const line of linesOf(view).slice(0, data.picture.lines)) {
    for (const panel of panelsOf(view, line, false)) {
      const made = table(view, panel, view.metric.scale, cut(line.heading));
      const [left, top, width, height] = boxes.shift();
      Object.assign(made.style, { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
      made.style.setProperty("--rows", panel.down.values.length);
      made.style.setProperty("--columns", panel.across.values.length);
      picture.append(made);
    }
  }
}

const MARKS = [
  ["failed", "no result: the word says why"],
  ["chaotic", "chaotic: rounding alone decides"],
  ["best", "best by validation"],
  ["noise", "no difference shown: inside the noise of the seeds"],
  ["alone", ALONE],
];

// The colours, if any cell has a value, with the numbers at their ends; and the marks that occur.
function colourBar(view, scale, shown) {
  const { kind } = view.metric;
  const stops = data.maps[view.minus === null ? view.metric.scale.map : data.difference];
  const write = view.minus === null ? (value) => small(value, kind) : (value) => signed(value, (size) => small(size, kind));
  const end = (value) => element("span", {}, write(scale.log ? 10 ** value : value));
  const ramp = element("span", { class: "ramp" });
  ramp.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
  const occurs = (kind) => shown.some((part) => part.querySelector(`.cell${kind}`));
  const marks = MARKS.filter(([mark]) => occurs(`.${mark}`));
  const unmasked = view.minus !== null && (view.seed !== null || data.seeds.length === 1);
  return element(
    "p",
    { class: "legend" },
    occurs(":not(.blank, .failed)") ? element("span", { class: "bar" }, end(scale.low), ramp, end(scale.high)) : null,
    ...marks.map(([mark, meaning]) =>
      element("span", { class: "mark" }, element("span", { class: `swatch ${mark}` }, ["noise", "alone"].includes(mark) ? NOISE : ""), meaning),
    ),
    unmasked ? element("span", { class: "mark" }, "one seed, so the noise is not known and nothing is masked") : null,
  );
}
