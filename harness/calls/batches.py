"""A loop over batches, however they are drawn, as code."""

from harness.calls.switch import Switch
from harness.calls.text import Lines


def loop(s: Switch, step: str) -> Lines:
    """The epochs and steps of a training under the row, each with `step`, which reads `rows`."""
    law, last, B, n = s.row.batches, s.row.last_batch, s.batch, s.row.n_batches
    drawn = {
        "permutation": "rng.permutation(len(X))",
        "one_permutation": "rng.permutation(len(X))",
        "bootstrap": "rng.integers(0, len(X), len(X))",
        "in_order": "np.arange(len(X))",
    }.get(law)
    whole = f"len(X) // {B} * {B}"
    if n is not None and last == "merge":
        B, n, whole = f"(len(X) // {n})", None, f"len(X) // {n} * {n}"
    cut = {"keep": f"order, range({B}, len(X), {B})", "merge": f"order, range({B}, {whole}, {B})"}
    cut["drop"] = cut["drop stride"] = f"order[: {whole}], range({B}, {whole}, {B})"
    steps = f"range(0, len(X), {B})"
    if law == "skipping" and n is not None:
        parts = f"enumerate(np.array_split(np.arange(len(X) - {n - 1}), {n}))"
        rows = f"for rows in [part + k for k, part in {parts}]:"
    elif law == "skipping":
        end = {"drop": f"len(X) - {B} + 1", "drop stride": f"len(X) - {B}"}.get(last, "len(X)")
        rows = f"for rows in [np.arange(i, min(i + {B}, len(X))) for i in range(0, {end}, {B} + 1)]:"
    elif drawn is None:
        dropped = last.startswith("drop")
        size, steps = (B, f"range(len(X) // {B})") if dropped else (f"min({B}, len(X) - i)", steps)
        chosen = f"rng.choice(len(X), {size}, replace={law == 'replacement'})"
        rows = f"for rows in [{chosen} for i in {steps}]:"
    else:
        rows = f"for rows in np.array_split(order, {n}):" if n is not None else f"for rows in np.split({cut[last]}):"
    once = law in ("one_permutation", "bootstrap", "in_order")
    order = [] if drawn is None else [f"{'' if once else '    '}order = {drawn}"]
    epochs = f"for epoch in range({s.epochs}):"
    return [
        "rng = np.random.default_rng(0)",
        *([*order, epochs] if once else [epochs, *order]),
        f"    {rows}",
        f"        {step}",
    ]
