"""The lecture class's lines."""

from backends.numpy.conventions import CONVENTIONS
from harness.calls.backend_lines import BackendLines
from harness.calls.switch import Switch
from harness.calls.text import Lines, config_lines, keywords
from harness.contract import OPTIMIZER_CONSTANTS, Config, constants_of


class NumpyLines(BackendLines):
    """What the class has no argument for stands in one of its methods."""

    override = "another line in NeuralNetwork.update"
    step = "…  # as in NeuralNetwork.train, with `rows` for `chosen`"

    def lacks(self, config: Config, native: bool) -> str | None:
        return None

    def native(self, config: Config, seed: int) -> Lines:
        targets = f"np.eye({config.network.n_outputs})[y]" if config.task == "multiclass" else "y"
        read = constants_of(config.optimizer.name, config.network.dense["activation"])
        declared = {name: CONVENTIONS[name].at(config) for name in (*read, "dtype")}
        own = {name: value for name, value in declared.items() if name not in config.written | {"momentum"}}
        return [
            "import numpy as np",
            "from backends.numpy.native import NeuralNetwork",
            "from harness import Config",
            *config_lines(config, **own),
            f"network = NeuralNetwork(config, X, {targets}, seed={seed})",
            "network.train()",
        ]

    def start(self, s: Switch) -> Lines:
        scale, W, b = self.start_of(s)
        return ["# in NeuralNetwork.__init__:", f"rng, s = self.rng, {scale}", f"W = {W}", f"b = {b}"]

    def scaled(self, s: Switch) -> Lines:
        error = "error" + {"mean": f" / {s.config.network.n_outputs}", "sum": "", "half sum": ""}[s.row.outputs]
        error = f"2 * {error}" if s.config.loss.name == "mse" and s.row.outputs != "half sum" else error
        error += " / len(targets)" if s.row.reduction == "mean" else ""
        return [f"error = {error}  # at the end of NeuralNetwork.output_error"]

    def penalty(self, s: Switch, value: str) -> Lines:
        lines = [f"l2={value}"]
        if s.row.l2_tensors == "weights and biases":
            lines.append("# in back_propagation: error.sum(axis=0) + self.config.l2 * self.biases[k]")
        return [*lines, *(["# in back_propagation: none for the last k"] if s.row.l2_tensors == "hidden" else [])]

    def constructed(self, s: Switch) -> Lines:
        read = {name: getattr(s.row, name) for name in OPTIMIZER_CONSTANTS[s.kind] if name in s.changed}
        rate = {"learning_rate": s.learning_rate} if "learning_rate" in s.changed else {}
        return [", ".join(keywords({"optimizer": s.kind, **rate, **read}))]

    def activation_constants(self, s: Switch) -> dict[str, str]:
        return {"leaky_slope": f"leaky_slope={s.row.leaky_slope!r}", "elu_alpha": f"elu_alpha={s.row.elu_alpha!r}"}
