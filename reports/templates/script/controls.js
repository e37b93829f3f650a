// The controls above the heatmaps. Each is a select; what the report does not have is not offered.

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, title: text.length > LONGEST ? text : null }, cut(text))));
  select.value = chosen;
}

const SPLIT_WORDS = { train: "training", validation: "validation", test: "test" };

function selects() {
  const metric = metricOf(state.metric);
  const planned = data.planned[state.mode];
  const backends = planned.map((backend) => [String(backend), data.backends[backend]]);
  const axes = data.axes.map((axis, i) => [String(i), axis.name]);
  const seeds = data.seeds.map((seed, i) => [String(i), seed]);
  const mean = data.seeds.length > 1 ? `mean of ${data.seeds.length}` : "the only one";
  return [
    ["metric", "Metric", data.metrics.map(({ id, label }) => [id, label])],
    ["split", "Split", metric.splits.map((split) => [split, SPLIT_WORDS[split]])],
    ["mode", "Mode", data.modes.map((mode) => [mode, mode])],
    ["seed", "Seed", data.seeds.length > 1 ? [["mean", mean], ...seeds] : []],
    ["backend", "Backend", [["", "all"], ...backends]],
    ["minus", "Minus", [["", "nothing"], ...backends.filter(([value]) => value !== state.backend)]],
    ["down", "Down", axes.length > 1 ? axes : []],
    ["across", "Across", axes.length > 1 ? axes : []],
    ...otherAxes().map((i) => [`at-${i}`, data.axes[i].name, [["all", "all, one below another"], ...data.axes[i].values.map((value, k) => [String(k), value])]]),
  ];
}

function drawControls() {
  const focused = document.activeElement?.id;
  const fixedAxes = fixedOf();
  const value = (id) => (id.startsWith("at-") ? fixedAxes.get(Number(id.slice(3))) : state[id]);
  const shown = selects().filter(([, , options]) => options.length > 1 || (options.length === 1 && options[0][0] !== ""));
  const made = shown.map(([id, label, options]) => {
    const select = element("select", { id, disabled: options.length === 1 });
    fill(select, options, value(id));
    return element("label", { class: "control" }, element("span", {}, cut(label, 30)), select);
  });
  const reset = element("button", { type: "button", id: "reset", disabled: isDefaultView() && !state.pins }, "Start again");
  byId("controls").replaceChildren(...made, reset);
  if (focused) byId(focused)?.focus();
}

function listenToControls() {
  byId("controls").addEventListener("change", (event) => {
    const { id, value } = event.target;
    if (id.startsWith("at-")) {
      const at = new Map(fixedOf()).set(Number(id.slice(3)), value);
      choose({ at: [...at].map((pair) => pair.join(":")).join(",") });
    } else if (id === "down" && value === state.across) choose({ down: value, across: state.down });
    else if (id === "across" && value === state.down) choose({ across: value, down: state.across });
    else choose({ [id]: value });
    say(viewTitle(viewOf()));
  });
  byId("controls").addEventListener("click", (event) => {
    if (event.target.id === "reset") {
      const { sort, find, status, of } = state;
      choose({ ...DEFAULTS, sort, find, status, of });
      byId("metric").focus();
    }
  });
}

function viewTitle(view) {
  const split = view.metric.splits.length ? SPLIT_WORDS[view.split] : "";
  const what = view.metric.kind === "count" && split ? `${view.metric.label}, ${split}` : [split, view.metric.label].filter(Boolean).join(" ");
  const minus = view.minus === null ? "" : `, minus that of ${cut(data.backends[view.minus])}`;
  const seed = view.seed !== null ? `, ${data.seeds[view.seed]}` : data.seeds.length > 1 ? `, mean of ${data.seeds.length} seeds` : "";
  return `${what[0].toUpperCase()}${what.slice(1)}${minus}, mode ${view.mode}${view.metric.kind === "deviation" ? ", the worst seed" : seed}`;
}
