// A random search: every point stands where its first two numbers put it. The points are the cells of one row.

function drawScatter(view) {
  const cells = [...Array(N_CELLS).keys()];
  const scale = scaleOf(view, cells);
  const [across, up] = data.sampled.filter((sampled) => sampled.values).map(spread);
  const panels = view.backends.map((backend) => scatterPanel(view, backend, cells, scale, across, up));
  const shown = [element("div", { class: "line" }, element("div", { class: "panels" }, ...panels))];
  byId("stage").replaceChildren(...shown, colourBar(view, scale, shown));
}

// A drawn number from 0 to 1 along its side: by its logarithm where it runs over two powers of ten or more.
function spread(sampled) {
  const values = numbers(sampled.values);
  const [low, high] = extent([...values]);
  const log = low > 0 && high / low >= 100;
  const place = log ? Math.log : (value) => value;
  const at = (cell) => (place(values[cell]) - place(low)) / (place(high) - place(low));
  return { name: sampled.name, at, ends: [number(low, 2), number(high, 2)] };
}

// Points at the ends of a side lie wholly inside of the frame.
function inset(share) {
  return `${5 + 90 * share}%`;
}

function scatterPanel(view, backend, cells, scale, across, up) {
  const height = up ? up.at : (cell) => position(measured(view, backend, cell).value || scale.low, scale);
  const inOrder = across ? [...cells].sort((a, b) => across.at(a) - across.at(b)) : cells;
  const points = inOrder.map((cell, i) => {
    const made = tile(view, backend, cell, scale, { row: 0, column: i });
    made.style.left = inset(across ? across.at(cell) : i / cells.length);
    made.style.bottom = inset(height(cell));
    return made;
  });
  points[0].tabIndex = 0;
  const grid = element("table", { role: "grid", class: "grid scatter", "aria-label": cut(titleOf(view, backend)) }, element("tbody", {}, element("tr", {}, ...points)));
  return element(
    "section",
    { class: "panel" },
    element("h3", {}, name(titleOf(view, backend))),
    up ? element("p", { class: "side" }, "↑ ", name(up.name), ` ${up.ends.join(" to ")}`) : element("p", { class: "side" }, `↑ ${view.metric.label}`),
    grid,
    across ? element("p", { class: "side" }, "→ ", name(across.name), ` ${across.ends.join(" to ")}`) : null,
  );
}
