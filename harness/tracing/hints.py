"""What a phase that follows no row looks like: mechanisms that are not in the table, told and never taken for a row."""

from dataclasses import replace

import numpy as np

from harness.contract import vary
from harness.tracing.forms import Joint
from harness.tracing.phases import Gradient, Stage, Update
from harness.tracing.walk import Hypothesis

ADDED_UP = "gradients add up from step to step, as they do without zero_grad()"


def hints(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> list[str]:
    """What the recording looks like in a phase that is not followed, in words; empty where like nothing we know."""
    if isinstance(stage, Gradient):
        replayed = stage.walk.passed(h.plain()).gradient.astype(np.float64)
        return _of_gradients(stage, stage.observed.astype(np.float64), replayed)
    if isinstance(stage, Update) and stage.given is None:
        return _of_updates(stage, h, names)
    return []


def _of_gradients(stage: Stage, seen: np.ndarray, replayed: np.ndarray) -> list[str]:
    close = 1e4 * stage.walk.epsilon
    added = replayed + np.concatenate([np.zeros_like(seen[:1]), seen[:-1]])
    if len(seen) > 1 and _same(seen, added, close):
        return [ADDED_UP]
    factors = (seen * replayed).sum(axis=1) / np.maximum((replayed**2).sum(axis=1), 1e-300)
    if _same(seen, factors[:, None] * replayed, close) and np.ptp(factors) <= close * abs(factors[0]):
        return [f"every gradient is {factors[0]:.6g} times the replay's"]
    return _by_tensor(stage, seen, replayed, close)


def _by_tensor(stage: Stage, seen: np.ndarray, replayed: np.ndarray, close: float) -> list[str]:
    """Each tensor's gradient shortened by itself, to one length."""
    bounds: list[float] = []
    for _, place, _ in stage.walk.tensors:
        norm, own = (np.linalg.norm(each[:, place], axis=1) for each in (seen, replayed))
        share = norm / np.maximum(own, 1e-300)
        if not _same(seen[:, place], share[:, None] * replayed[:, place], close) or (share > 1 + close).any():
            return []
        bounds += norm[share < 1 - close].tolist()
    # PyTorch adds 1e-6 to a norm before it clips by it
    still = [name for name, place, _ in stage.walk.tensors if not seen[:, place].any()]
    if still and not any(bounds):
        return [f"{', '.join(still)} never moves"]
    if len(bounds) < 2 or np.ptp(bounds) > max(close, 1e-4) * max(bounds):
        return []
    return [f"clipping tensor by tensor, each to a norm of {max(bounds):.6g} (Keras' clipnorm)"]


def _same(a: np.ndarray, b: np.ndarray, close: float) -> bool:
    return bool(np.isfinite(b).all() and np.abs(a - b).max() <= close * np.abs(a).max())


def _of_updates(stage: Update, h: Hypothesis, names: tuple[str, ...]) -> list[str]:
    """Updates as of gradients that were added up; and, of plain steps, clipped tensor by tensor."""
    walk = stage.walk
    gradient = walk.passed(h).gradient
    if walk.steps > 1:
        added = np.cumsum(gradient, axis=0)
        if _fits(Update(walk, h, added), h, names):
            return [ADDED_UP]
    rates = np.array([walk.rate(h, step) for step in range(walk.steps)])[:, None]
    if not (rates > 0).all():
        return []
    step = (walk.W[: walk.steps].astype(np.float64) - walk.W[1 : walk.steps + 1]) / rates
    # the weights' own rounding is in what they moved by
    close = max(1e4 * walk.epsilon, 100 * walk.epsilon * float(np.abs(walk.W).max() / max(np.abs(step).max(), 1e-300)))
    first = slice(0, 1) if h.row.momentum else slice(None)
    return _by_tensor(stage, step[first], gradient[first].astype(np.float64), close)


def _fits(stage: Update, h: Hypothesis, names: tuple[str, ...]) -> bool:
    """Whether a form fits with these gradients in place of the replay's."""
    kept = tuple(name for name in names if name not in ("reduction", "outputs", "l2", "clip_norm", "clip_value"))
    found = Joint(stage, replace(h, config=vary(h.config, l2=0.0)), kept).attempts()
    return bool(found) and found[0][0].rms < 1
