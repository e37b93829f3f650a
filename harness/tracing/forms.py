"""Which forms a phase may have, and what the one that fits says in the words of the table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from harness.conventions.table import CONVENTIONS
from harness.tracing.candidates import Option
from harness.tracing.joint import NUMBERS, TIES, Data, Fit, Form, _free, fit, narrowed
from harness.tracing.phases import CLOSE, Stage, Update
from harness.tracing.walk import Hypothesis

_STEPS = 60
_LOSS = 2.0  # what it costs that the recorded loss is another one
_MOST = 16  # of the forms that fit alike, that are made plain
_GOOD = 3.0  # what a row that is right never leaves, in floors
_AT = {name: i for i, name in enumerate(NUMBERS)}
_LISTED: dict[str, tuple[float, ...]] = {
    "momentum": (0.9,),
    "beta_1": (0.9,),
    "beta_2": (0.999,),
    "rho": (0.9, 0.99),
    "epsilon": (1e-8, 1e-7, 1e-10),
    "accumulator": (0.1,),
    "coupled": (1e-4,),
    "decoupled": (0.01, 0.004),
}
"""What the libraries have by default."""
_SLOPES = {"leaky_slope": (0.01, 0.2, 0.3, 0.1), "elu_alpha": (1.0,), "softplus_threshold": (None, 20.0)}
_NAMES = {"accumulator": "initial_accumulator", "rate": "learning_rate"}


class Joint:
    """The forms of one stage under `h`, where `names` are open."""

    def __init__(self, stage: Stage, h: Hypothesis, names: tuple[str, ...], free_rates: bool = False) -> None:
        self.stage, self.h, self.names = stage, h, names
        self.open = set(names)
        self.config = h.stands(len(stage.walk.X))
        self.variants = list(self._variants())
        self.data = self._data()
        self.data.free_rates, self.data.clip_epsilon = free_rates, stage.walk.clip_epsilon

    def _variants(self) -> Iterator[Hypothesis]:
        """The hypotheses for what comes before the loss: as it is, and with other constants of the activation."""
        yield self.h
        for name, values in _SLOPES.items():
            if name in self.open and CONVENTIONS[name].applies(self.config, self.h.row):
                for value in values:
                    if value != self.h.at(name):
                        yield self.h.having(**{name: value})

    def _data(self) -> Data:
        stage, walk, h = self.stage, self.stage.walk, self.h
        T = min(walk.steps, _STEPS) if isinstance(stage, Update) else walk.steps
        lengths = (walk.recording.rows[:T] >= 0).sum(axis=1).astype(float)
        ones = np.ones(T)
        reductions = {h.row.reduction: ones}
        outputs: dict[str, float] = {h.row.outputs: 1.0}
        base: dict[str, Any] = {name: None for name in ("clip_norm", "clip_value") if name in self.open}
        if "l2" in self.open:
            base |= {"l2": 0.0, "l1": 0.0}
        if "reduction" in self.open:
            base["reduction"] = "mean"
            reductions = {"mean": ones, "sum": lengths, "mean of n + 1": lengths / (lengths + 1)}
        if "outputs" in self.open and CONVENTIONS["outputs"].applies(self.config, h.row):
            base["outputs"] = "mean"
            k = self.config.network.n_outputs
            outputs = {"mean": 1.0, "sum": float(k), "half sum": k / 2} if k > 1 else {"mean": 1.0, "half sum": 0.5}
        given = stage.given if isinstance(stage, Update) else None
        G, noise = [], []
        for variant in self.variants:
            g = (walk.passed(variant.having(**base)).gradient if given is None else given)[:T].astype(np.float64)
            G.append(g)
            noise.append(stage.share(variant)[:T] * walk.each_tensor(g))
        groups = np.empty(walk.W.shape[1], int)
        last = len(walk.recording.weights) - 1
        for name, place, _ in walk.tensors:
            layer, key = name.split("/")
            groups[place] = 2 if key == "b" else 1 if int(layer) == last else 0
        rates = np.array([walk.rate(h, step) for step in range(T)])
        if h.row.constants == "float32 rate":
            rates = rates.astype(np.float32).astype(np.float64)
        return Data(
            np.nan_to_num(np.stack(G)),
            np.stack(noise),
            walk.W[:T].astype(np.float64),
            stage.observed[:T].astype(np.float64),
            groups,
            lengths,
            rates,
            walk.recording.epoch[:T].astype(float),
            walk.epsilon,
            {"reduction": reductions, "outputs": outputs},
            isinstance(stage, Update),
        )

    def forms(self) -> Iterator[Form]:
        """All that is open."""
        penalised = "l2" in self.open
        rules = list(self._rules()) if self.data.updates else [Form()]
        uneven = len(set(self.data.lengths)) > 1
        penalties = [("", False)]
        bounded = self.h.config.value("clip_norm") is not None or self.h.config.value("clip_value") is not None
        if penalised:
            coupled = ["after clipping"] if bounded and "clip_norm" not in self.open else ["coupled"]
            if "l2_form" in self.open:
                coupled += ["after clipping"] if coupled == ["coupled"] else []
                penalties += [("decoupled", False)]
            penalties += [(form, of_n) for form in coupled for of_n in (False, *([True] if uneven else []))]
        clips: list[tuple[str, ...]] = [()]
        clips += [(name,) for name in ("clip_norm", "clip_value") if name in self.open]
        scales = product(self.data.scales["reduction"], self.data.scales["outputs"])
        for rule, (l2, divided), clip, (reduction, outputs), variant in product(
            rules, penalties, clips, scales, range(len(self.variants))
        ):
            if self.data.free_rates and clip:
                continue  # what clipping takes off a learning rate may, too
            if l2 == "after clipping" and not clip and not bounded:
                continue  # there is no clipping
            if l2 == "decoupled" and rule.optimizer == "sgd" and "momentum" not in rule.free and not clip:
                continue  # the same as a coupled one
            yield replace(
                rule,
                l2=l2,
                divided=divided,
                reduction=reduction,
                outputs=outputs,
                variant=variant,
                free=(*rule.free, *clip),
            )

    def _rules(self) -> Iterator[Form]:
        if "optimizer" not in self.open:
            return
        yield Form("sgd")
        uneven = len(set(self.data.rates.tolist())) > 1
        for nesterov in (False, True):
            for momentum_form in ("outside", "dampened", *(("inside",) if uneven else ())):  # else one with outside
                yield Form("sgd", nesterov, momentum_form, free=("momentum",))
        for place in ("outside", "inside"):
            yield Form("adagrad", place=place, free=("epsilon",))
            for accumulator in (0.1, 1e-3):
                yield Form(
                    "adagrad",
                    place=place,
                    free=("accumulator",),
                    fixed=(("accumulator", accumulator), ("epsilon", 1e-7 if place == "inside" else 1e-10)),
                )
            yield Form("rmsprop", place=place, free=("rho", "epsilon"))
        yield Form("adagrad_momentum", free=("momentum", "epsilon"))
        for place in ("outside", "hat", "inside"):
            yield Form("adam", place=place, free=("beta_1", "beta_2", "epsilon"))

    def attempts(self, also: tuple[str, ...] = ()) -> list[tuple[Fit, Hypothesis]]:
        """The forms that fit, the plainest first, each with the hypothesis that it makes of `h`.

        `also` are numbers that are free in every form beside its own.
        """
        forms = [replace(form, free=(*form.free, *also)) for form in self.forms()]
        if not forms or not self.data.steps:
            return []
        fits = narrowed(self.data, [form for form in forms if not _clips(form)])
        if self.data.free_rates and min(each.rms for each in fits) > _GOOD:
            return []
        if min(each.rms for each in fits) > _GOOD:  # a bound that no gradient reaches would fit as well as none
            fits += narrowed(self.data, [form for form in forms if _clips(form)])
        fits = self._tied(fits)
        best = min(each.rms for each in fits)
        if best > _GOOD:
            return [(each, self.hypothesis(each)) for each in sorted(fits, key=lambda each: each.score)[:2]]
        near = [each for each in fits if each.rms <= CLOSE * max(best, 0.05)]
        near = sorted(near, key=lambda each: (self.cost(each), each.rms))[:_MOST]
        plain = [(each, self.hypothesis(each)) for each in map(self._plain, near)]
        lost = {id(each): 0 if self.stage.fits_loss(h) else _LOSS for each, h in plain}
        return sorted(plain, key=lambda pair: (self.cost(pair[0]) + lost[id(pair[0])], pair[0].rms))

    def rates(self) -> np.ndarray | None:
        """The learning rate of every step, where a form follows with one of its own for each."""
        found = self.attempts()
        return self.data.rates_of(found[0][0]) if found else None

    def _tied(self, fits: Sequence[Fit]) -> list[Fit]:
        """With L2 as one number for the tensors that it may penalise, beside one for each group."""
        more = []
        for each in fits:
            if each.form.l2:
                for tensors in TIES:
                    x = each.x.copy()
                    more.append(replace(each, form=replace(each.form, tensors=tensors), x=x))
        return [*fits, *fit(self._part(), more, 10)] if more else list(fits)

    def _part(self) -> Data:
        rng = np.random.default_rng(1)
        n = self.data.all[3].shape[1]
        return self.data.part(rng.permutation(n)[:400], self.data.steps)

    def _plain(self, each: Fit) -> Fit:
        """With the plainest numbers that leave about what the best ones leave: a default, else the fewest digits."""
        data = self._part()
        (whole,) = fit(data, [each], 8)
        each = whole
        for name in (*[n for n in each.form.numbers if n in _LISTED], *each.form.numbers):
            if name not in each.form.numbers:
                continue
            value = each.value(name)
            base = name.split("_last")[0].split("_bias")[0]
            own = [float(self.h.at(_NAMES.get(name, name)))] if name in _LISTED and "coupled" not in name else []
            values = [*own, *_LISTED.get(base, ())] if base in _LISTED else []
            values += [float(f"{value:.{digits}g}") for digits in range(1, 6)]
            tries = []
            for v in dict.fromkeys(values):
                if not v > 0:
                    continue
                x = each.x.copy()
                x[_AT[name]] = _free(name, v)
                free = tuple(n for n in each.form.free if n != name)
                fixed = (*[(n, w) for n, w in each.form.fixed if n != name], (name, v))
                tries.append(replace(each, form=replace(each.form, free=free, fixed=fixed), x=x))
            if name.startswith(("coupled", "decoupled")) and not each.form.tensors:
                continue
            for done in fit(data, tries, 4):
                if done.rms <= 1.2 * max(whole.rms, 0.05):
                    each = done
                    break
        return each

    def cost(self, each: Fit) -> float:
        """What is not as assumed: a word costs 1, a number of its own 1 and each digit beyond the second."""
        form, h = each.form, self.h
        cost = 1.0 * (form.reduction != h.row.reduction) + 1.0 * (form.outputs != h.row.outputs) + (form.variant > 0)
        if form.optimizer:
            cost += 2.0 * (form.optimizer != h.row.optimizer) + 0.5 * (form.nesterov != h.row.nesterov)
            cost += 1.5 * (form.momentum_form != h.row.momentum_form) + 0.5 * (form.place != h.row.epsilon_place)
        if form.l2:
            cost += 1 + 0.5 * form.divided + 0.25 * (form.l2 == "decoupled")
            cost += {"": 10, "weights": 0, "weights and biases": 0, "hidden": 0.5}[form.tensors]
        for name in {*form.numbers, *dict(form.fixed)}:
            value = each.value(name)
            if name in _LISTED and any(abs(value - v) <= 1e-12 * v for v in _LISTED[name]):
                continue
            digits = len(f"{value:.9g}".split("e")[0].replace(".", "").strip("0"))
            cost += 1.5 + max(0, digits - 2)
        return cost

    def hypothesis(self, each: Fit) -> Hypothesis:
        """`h` with what the form says, its free numbers as they were fitted."""
        changes = self.changes(each)
        return self.variants[each.form.variant].having(**changes)

    def changes(self, each: Fit) -> dict[str, Any]:
        """What the form says, in the words of the table."""
        form = each.form
        changes: dict[str, Any] = {"reduction": form.reduction, "outputs": form.outputs}
        names = set(form.free) | set(dict(form.fixed))
        if form.optimizer:
            changes |= {"optimizer": form.optimizer, "nesterov": form.nesterov}
            changes["momentum"] = each.value("momentum") if "momentum" in names else 0.0
            if form.optimizer in ("sgd", "adagrad_momentum"):
                if "momentum" in names:
                    changes["momentum_form"] = form.momentum_form
            else:
                changes["epsilon_place"] = form.place
            for name in ("beta_1", "beta_2", "rho", "epsilon"):
                if name in names:
                    changes[name] = each.value(name)
            if form.optimizer == "adagrad":
                changes["initial_accumulator"] = each.value("accumulator") if "accumulator" in names else 0.0
            if "rate" in names:
                changes["learning_rate"] = float(self.h.at("learning_rate")) * each.value("rate")
        if "l2" in self.open:
            changes |= {"l2": 0.0, "l2_form": "coupled"}
        if form.l2:
            tensors = form.tensors or "weights"
            changes |= {"l2": each.value(form.number), "l2_factor": "half", "l2_form": form.l2, "l2_tensors": tensors}
            changes["l2_divisor"] = "rows of the batch" if form.divided else "none"
        for name in ("clip_norm", "clip_value"):
            if name in self.open:
                changes[name] = each.value(name) if name in form.free or name in dict(form.fixed) else None
        return changes


def _clips(form: Form) -> bool:
    return bool({"clip_norm", "clip_value"} & set(form.free))


def options_of(h: Hypothesis, other: Hypothesis) -> tuple[tuple[Option, ...], tuple[Any, ...]]:
    """What one hypothesis changes of another, as options with their values: the optimizer first."""
    names = [*dict.fromkeys(("optimizer", *CONVENTIONS, "l2", "clip_norm", "clip_value"))]
    changed, values = [], []
    for name in names:
        value = other.at(name)
        if value != h.at(name):
            number = isinstance(value, float) and not isinstance(value, bool)
            changed.append(Option(name, (), number=number, cost=1.0 if number else 0.5))
            values.append(value)
    return tuple(changed), tuple(values)
