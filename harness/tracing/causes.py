"""The regressions that speak for a cause: what a recording did on what its replay does, in one line of plain numbers.

With g the gradient, W the weights, u what a step takes off them, lr the learning rate (A: as assumed; B: recorded):

    penalties, reductions, clipping   g_B = a g_A + b W, jointly: a ratio alone would mix the two
    momentum                          u / lr = p g + q u' / lr' + r g', where ' is the step before
    epsilon, first accumulator        x = lr m / u against s = sqrt(v): x - s, and x² - s², which is the constant one?
    decoupled L2                      u_B - u_A = lr b W
    all others                        what B did on what the replay does, before and after the change
"""

import numpy as np

from harness.tracing.phases import Gradient, Stage, Update
from harness.tracing.walk import Hypothesis

_JOINT = ("reduction", "outputs", "l2_factor", "l2_divisor", "l2_tensors", "l2", "clip_norm", "clip_value")
_HEAVY = ("momentum", "nesterov", "momentum_form")
_ROOT = ("epsilon", "epsilon_place", "initial_accumulator")


def regress(y: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares without a constant: coefficients, and R² as the share of the sum of squares."""
    X, y = np.stack([column.ravel() for column in columns], axis=1).astype(np.float64), y.ravel().astype(np.float64)
    known = np.isfinite(X).all(axis=1) & np.isfinite(y)
    X, y = X[known], y[known]
    scale = np.linalg.norm(X, axis=0)
    scale[scale == 0] = 1
    found, *_ = np.linalg.lstsq(X / scale, y, rcond=1e-10)
    total = float(y @ y)
    left = y - (X / scale) @ found
    return found / scale, 1 - float(left @ left) / total if total else 1.0


def evidence(stage: Stage, name: str, before: Hypothesis, after: Hypothesis) -> str:
    """One line for the change of `name` that leads from one hypothesis to the other."""
    with np.errstate(all="ignore"):
        if isinstance(stage, Gradient) and name in _JOINT:
            return _joint(stage, before, name)
        if isinstance(stage, Update):
            if name in _HEAVY and before.row.optimizer == "sgd" == after.row.optimizer:
                return _heavy(stage, after)
            if name in _ROOT:
                return _root(stage, after)
            if name == "l2_form":
                return _decoupled(stage, before)
        return _plain(stage, before, after)


def _joint(stage: Gradient, before: Hypothesis, name: str) -> str:
    walk = stage.walk
    g, W, seen = walk.passed(before.plain()).gradient, walk.W[: walk.steps], stage.observed
    if name.startswith("clip"):
        norms = np.linalg.norm(seen.astype(np.float64), axis=1)
        ours = np.linalg.norm(walk.passed(before).gradient.astype(np.float64), axis=1)
        cut = int((norms < 0.999 * ours).sum())
        largest = norms.max() if name == "clip_norm" else np.abs(seen).max()
        what = "norm" if name == "clip_norm" else "element"
        return f"g_B is smaller than g_A in {cut} of {walk.steps} steps, its largest {what} never above {largest:.6g}"
    parts = []
    matrices = np.concatenate([np.arange(s.start, s.stop) for key, s, _ in walk.tensors if key.endswith("W")])
    biases = np.setdiff1d(np.arange(seen.shape[1]), matrices)
    last = next(s for key, s, _ in reversed(walk.tensors) if key.endswith("W"))
    groups = {"": matrices}
    if name == "l2_tensors":
        groups = {"hidden W: ": np.setdiff1d(matrices, np.arange(last.start, last.stop))}
        groups |= {"last W: ": np.arange(last.start, last.stop), "biases: ": biases}
    for told, of in groups.items():
        (a, b), fit = regress(seen[:, of], g[:, of], W[:, of])
        parts.append(f"{told}g_B = {a:.6g} g_A{_term(b)} W, R² {fit:.6f}, {seen[:, of].size} elements")
    if name in ("l2_divisor", "reduction") and len(set(lengths := _lengths(stage))) > 1:
        each = []
        for n in sorted(set(lengths), reverse=True):
            (a, b), _ = regress(*(part[lengths == n][:, matrices] for part in (seen, g, W)))
            each.append(f"{a:.6g} and {_small(b)} in batches of {n}")
        parts = [*parts, "; ".join(each)]
    return "; ".join(parts)


def _small(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def _term(value: float) -> str:
    """A coefficient behind another term: its sign apart."""
    return f" {'-' if value < -1e-12 else '+'} {_small(abs(value))}"


def _lengths(stage: Stage) -> np.ndarray:
    lengths: np.ndarray = (stage.walk.recording.rows[: stage.walk.steps] >= 0).sum(axis=1)
    return lengths


def _updates(stage: Stage) -> np.ndarray:
    """What every step took off the weights."""
    walk = stage.walk
    taken: np.ndarray = walk.W[: walk.steps].astype(np.float64) - walk.W[1 : walk.steps + 1]
    return taken


def _heavy(stage: Update, after: Hypothesis) -> str:
    rates = np.array([stage.walk.rate(after, step) for step in range(stage.walk.steps)])[:, None]
    u, g = _updates(stage) / rates, stage.gradients(after)
    if not after.row.momentum:  # then the step before is the gradient before, and tells nothing of its own
        (p,), fit = regress(u[1:], g[1:])
        return f"u/lr = {p:.6g} g, R² {fit:.6f}, {u[1:].size} elements"
    (p, q, r), fit = regress(u[1:], g[1:], u[:-1], g[:-1])
    return f"u/lr = {p:.6g} g{_term(q)} u'/lr'{_term(round(r, 9))} g', R² {fit:.6f}, {u[1:].size} elements"


def _root(stage: Update, after: Hypothesis) -> str:
    """x² - s² and x - s, where s is what the root has without epsilon and without a first accumulator."""
    walk, g = stage.walk, stage.gradients(after)
    bare = after.having(epsilon=0.0, initial_accumulator=0.0, epsilon_place="outside")
    rates = np.array([walk.rate(after, step) for step in range(walk.steps)])[:, None]
    u = _updates(stage)
    scaled = u / (walk.W[: walk.steps].astype(np.float64) - walk.updated([bare], [g])[0])  # s / x
    _, v = walk.states(bare, g)
    s = np.sqrt(v.astype(np.float64))
    if after.row.optimizer == "adam":
        t = np.arange(1, walk.steps + 1)[:, None]
        s = s / np.sqrt(1 - after.row.beta_2**t)
    x = s / scaled
    clear = np.isfinite(x) & (np.abs(u) > 1e4 * walk.epsilon * np.abs(walk.W[: walk.steps])) & (rates > 0) & (s > 0)
    if clear.sum() < 4:
        return f"{int(clear.sum())} elements are large enough to compare"

    def spread(values: np.ndarray) -> str:
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
        return f"{middle:.4g} (80 % in {low:.4g} … {high:.4g})"

    parts = [f"x - s = {spread((x - s)[clear])}", f"x² - s² = {spread((x**2 - s**2)[clear])}"]
    if after.row.optimizer == "adam":
        t = np.broadcast_to(np.arange(1, walk.steps + 1)[:, None], x.shape)
        parts.append(f"(x - s) sqrt(1 - beta_2^t) = {spread(((x - s) * np.sqrt(1 - after.row.beta_2**t))[clear])}")
    return "; ".join(parts) + f"; {int(clear.sum())} elements"


def _decoupled(stage: Update, before: Hypothesis) -> str:
    walk = stage.walk
    plain = before.plain()
    bare = walk.W[: walk.steps].astype(np.float64) - walk.updated([plain], [walk.passed(plain).gradient])[0]
    rates = np.array([walk.rate(before, step) for step in range(walk.steps)])[:, None]
    matrices = np.concatenate([np.arange(s.start, s.stop) for key, s, _ in walk.tensors if key.endswith("W")])
    apart, W = (_updates(stage) - bare) / rates, walk.W[: walk.steps]
    (b,), fit = regress(apart[:, matrices], W[:, matrices])
    return f"(u_B - u_A) / lr = {b:.6g} W, u_A without L2, R² {fit:.6f}, {apart[:, matrices].size} elements"


def _plain(stage: Stage, before: Hypothesis, after: Hypothesis) -> str:
    was, now = (each.astype(np.float64) for each in stage.off([before, after]))
    seen = _seen(stage)
    moved = was != now
    if not moved.any():
        moved = np.ones_like(moved)
    sign = -1 if isinstance(stage, Update) else 1
    told = []
    for when, off in (("before", was), ("after", now)):
        (slope,), fit = regress(seen[moved], (seen + sign * off)[moved])
        told.append(f"slope {slope:.6g}, R² {fit:.6f} {when}")
    what = {"forward": "a_B on a", "gradient": "g_B on g", "update": "u_B on u"}[stage.name]
    return f"{what}: {'; '.join(told)}; {int(moved.sum())} elements"


def _seen(stage: Stage) -> np.ndarray:
    """What was recorded, in the shape of `Stage.off`; for updates what was taken off."""
    if isinstance(stage, Update):
        return _updates(stage)
    return stage.observed.astype(np.float64)
