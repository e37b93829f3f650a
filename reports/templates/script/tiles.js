// One cell of a heatmap: what it says, in which colours, and what is read aloud. The same facts make all three.

const NOISE = "≈"; // the sign of a difference inside the noise of the seeds, or of one that has no other to compare with
const ALONE = "1 seed in both: no estimate of its noise";

function tileOf(view, backend, cell, scale) {
  return view.minus === null ? scoreTile(view, backend, cell, scale) : differenceTile(view, backend, cell, scale);
}

// Nothing to expect: the task of the cell has no such number, or its trials finished without one.
function isBlank(view, cell, facts) {
  const judged = data.scores[cell];
  return (judged !== null && !view.metric.scores.includes(judged)) || (Number.isNaN(facts.value) && !facts.mark);
}

function scoreTile(view, backend, cell, scale) {
  const facts = measured(view, backend, cell);
  const { kind } = view.metric;
  const blank = isBlank(view, cell, facts);
  const nothing = blank || Number.isNaN(facts.value);
  const best = isBest(view, backend, cell);
  const chaotic = facts.chaotic && view.mode === "controlled";
  const spread = Number.isNaN(facts.std) ? "" : `±${spreadWritten(facts.std, kind)}`;
  return {
    value: blank ? MISSING : nothing ? "" : small(facts.value, kind),
    second: nothing ? "" : spread,
    note: blank ? "" : facts.mark,
    fill: nothing ? null : mixed(data.maps[view.metric.scale.map], position(facts.value, scale)),
    classes: { blank, failed: nothing && !blank, chaotic, best },
    said: [
      blank ? "no such number" : nothing ? "" : [written(facts.value, kind), spread].filter(Boolean).join(" "),
      !nothing && facts.n < facts.planned ? `${facts.n} of ${facts.planned} seeds` : "",
      blank ? "" : facts.mark,
      chaotic ? "chaotic" : "",
      facts.differs ? "differs from the reference" : "",
      best ? "best by validation" : "",
    ],
  };
}

function differenceTile(view, backend, cell, scale) {
  const facts = difference(view, backend, view.minus, cell);
  const { kind } = view.metric;
  const blank = isBlank(view, cell, facts);
  const nothing = blank || Number.isNaN(facts.value);
  const noise = !nothing && !facts.shown;
  const chaotic = facts.chaotic && view.mode === "controlled";
  const text = nothing ? "" : signed(facts.value, (value) => spreadWritten(value, kind));
  return {
    value: blank ? MISSING : noise ? `${NOISE} ${text}` : text,
    second: nothing || Number.isNaN(facts.high) ? "" : `±${spreadWritten(facts.high - facts.value, kind)}`,
    note: blank ? "" : [facts.alone ? "1 seed" : "", facts.mark].filter(Boolean).join(", "),
    fill: nothing || noise ? null : mixed(data.maps[data.difference], position(facts.value, scale)),
    classes: { blank, failed: nothing && !blank, noise: noise && !facts.alone, alone: facts.alone, chaotic },
    said: [
      blank ? "no such number" : text,
      facts.alone ? ALONE : noise ? "no difference shown" : "",
      intervalOf(facts, kind),
      blank ? "" : facts.mark,
      chaotic ? "chaotic" : "",
    ],
  };
}

// "95 % interval −0.003 to +0.027, 5 of 5 seeds"; "" of a single seed.
function intervalOf(facts, kind) {
  if (Number.isNaN(facts.low)) return "";
  const [low, high] = [facts.low, facts.high].map((end) => signed(end, (value) => spreadWritten(value, kind)));
  return `95 % interval ${low} to ${high}, ${facts.n} of ${facts.planned} seeds`;
}

function isBest(view, backend, cell) {
  const cells = data.best[view.mode]?.[backend]?.[view.metric.id];
  return Boolean(cells?.includes(cell)) && view.seed === null;
}

// The colours of a view: those of its metric or, of differences, as far to both sides as reports/figures says: as those
// that are shown; scores end at a tenth, at most 1; others at 1, 2 or 5 times a power of ten, but for one in 20.
function scaleOf(view, cells) {
  if (view.minus === null) return view.metric.scale;
  const found = view.backends.flatMap((backend) => cells.map((cell) => difference(view, backend, view.minus, cell)));
  const known = found.filter((facts) => Number.isFinite(facts.value));
  const clear = known.filter((facts) => facts.shown);
  const sizes = (clear.length ? clear : known).map((facts) => Math.abs(facts.value)).sort((a, b) => a - b);
  const high = view.metric.kind === "score" ? tenth(sizes.at(-1) ?? 0) : rounder(sizes[Math.floor(0.95 * (sizes.length - 1))] ?? 0);
  return { low: -high, high, log: false };
}

function tenth(largest) {
  return Math.min(Math.max(Math.ceil(largest * 10 - 1e-9) / 10, 0.1), 1);
}

function rounder(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((end) => end >= value * (1 - 1e-9));
}
