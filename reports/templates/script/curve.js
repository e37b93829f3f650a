// Learning curves of one cell: a line a trial, in the colour of its backend.

const WIDTH = 340;
const HEIGHT = 150;
const EDGE = { left: 44, right: 10, top: 8, bottom: 22 };

// What is drawn: the curve of the chosen number or, where there is none, of what the mode has.
function curveColumn(view) {
  const { names } = curvesOf(view.mode);
  const scores = data.metrics.map((metric) => `${view.split}_${metric.id}`);
  return [columnOf(view.metric, view.split), ...scores, "logged_accuracy", "logged_loss", ...names].find((wanted) => names.includes(wanted));
}

function curveLines(view, cell, wanted) {
  return data.planned[view.mode].flatMap((backend) =>
    trialsAt(view.mode, backend, cell, view.seed)
      .map((trial) => ({ backend, points: curve(view.mode, trial, wanted) }))
      .filter((line) => line.points.length),
  );
}

function curveChart(view, backend, cell) {
  const wanted = curveColumn(view);
  const lines = wanted ? curveLines(view, cell, wanted) : [];
  if (!lines.length) return element("p", { class: "soft" }, "No learning curve of this cell is stored.");
  const points = lines.flatMap((line) => line.points);
  const [last, ends] = [Math.max(...points.map(([epoch]) => epoch)), extent(points.map(([, value]) => value))];
  const x = (epoch) => EDGE.left + ((WIDTH - EDGE.left - EDGE.right) * epoch) / (last || 1);
  const y = (value) => HEIGHT - EDGE.bottom - ((HEIGHT - EDGE.top - EDGE.bottom) * (value - ends[0])) / (ends[1] - ends[0]);
  const path = (line) => line.points.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const order = [...lines].sort((a, b) => (a.backend === backend) - (b.backend === backend)); // the chosen one on top
  const named = wanted.replace(/_/g, " ").replace("auc", "ROC AUC").replace("r2", "R²");
  return element(
    "figure",
    { class: "curve" },
    drawn(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Learning curves of ${named}: ${spoken(lines)}` },
      ...ends.flatMap((value) => [
        drawn("line", { class: "rule", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }),
        drawn("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value, 3)),
      ]),
      drawn("text", { x: EDGE.left, y: HEIGHT - 6 }, "0"),
      drawn("text", { x: WIDTH - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" }, `epoch ${last}`),
      ...order.map((line) =>
        drawn("path", { d: path(line), stroke: data.colours[line.backend], class: line.backend === backend ? "chosen" : "other" }),
      ),
    ),
    element("figcaption", {}, `${named[0].toUpperCase()}${named.slice(1)}`, ...keysOf(lines)),
  );
}

function keysOf(lines) {
  return [...new Set(lines.map((line) => line.backend))].map((backend) => {
    const key = element("span", { class: "key" }, element("i"), name(data.backends[backend]));
    key.firstChild.style.background = data.colours[backend];
    return key;
  });
}

function spoken(lines) {
  const ends = new Map(lines.map((line) => [line.backend, [line.points[0][1], line.points.at(-1)[1]]]));
  return [...ends].map(([backend, [from, to]]) => `${cut(data.backends[backend], 20)} from ${number(from, 3)} to ${number(to, 3)}`).join("; ");
}

function extent(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}
