"""Record a PyTorch training, step by step, in one NPZ file. It stands alone: copy it beside a script, or import it.

    recorder = TorchRecorder(model, optimizer, X, y)
    loader = DataLoader(recorder, batch_size=100, shuffle=True)    # in place of TensorDataset(X, y)
    ...                                                            # the training, as it is
    recorder.save("run.npz", optimizer="adam", loss="cross_entropy")

A loop without a DataLoader takes its batches as `recorder[rows]`. `docs/recording.md` says what the file holds.
"""

import json

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {
    nn.Identity: "identity",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.Softplus: "softplus",
    nn.Softmax: "softmax",
}
"""What may follow a `Linear` layer, and its name in the settings."""


class TorchRecorder(torch.utils.data.Dataset):
    """The rows of `X`, `(n, n_inputs)`, and `y` as a dataset that writes down what each step makes of them.

    A step saw the rows that were taken since the step before; while the model is in evaluation mode nothing counts. An
    epoch ends where a row comes again. Gradients are as `backward()` left them, before any clipping. Raises
    `ValueError` for a model that is no `nn.Sequential` of `Linear` layers and activations, and in a step whose rows did
    not come from here.
    """

    def __init__(self, model: nn.Sequential, optimizer: torch.optim.Optimizer, X: torch.Tensor, y: torch.Tensor):
        self.model, self.X, self.y = model, X, y
        self.layers, self.activations = layers_of(model)
        self.taken, self.outputs, self.given = [], [], {}  # since the last step
        self.rows, self.logits, self.learning_rate, self.gradients, self.weights = [], [], [], [], []
        self.layers[-1].register_forward_hook(self._after_forward)
        for layer in self.layers:
            for tensor in layer.parameters():
                tensor.register_post_accumulate_grad_hook(self._after_backward)
        optimizer.register_step_pre_hook(self._before_step)
        optimizer.register_step_post_hook(self._after_step)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        if self.model.training:
            numbers = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
            self.taken.extend(np.arange(len(self))[numbers].reshape(-1).tolist())
        return self.X[rows], self.y[rows]

    def _after_forward(self, layer, inputs, output):
        if self.model.training:
            self.outputs.extend(array(output))

    def _after_backward(self, tensor):
        self.given[tensor] = array(tensor.grad)

    def _before_step(self, optimizer, arguments, options):
        rates = {float(group["lr"]) for group in optimizer.param_groups}
        if not self.taken or len(self.taken) != len(self.outputs):
            fault = (
                f"{len(self.taken)} rows were taken from the recorder and {len(self.outputs)} went through the model: "
                "take every batch from the recorder, with num_workers=0, and evaluate under model.eval()"
            )
        elif any(tensor.grad is None for layer in self.layers for tensor in layer.parameters()):
            fault = "a layer has no gradient; a recording holds one for every layer"
        elif len(rates) > 1:
            fault = f"learning rates {sorted(rates)} at once; a recording holds one a step"
        else:
            self.weights = self.weights or [self._named(array)]
            # one that no backward() made was put there by hand
            self.gradients.append(self._named(lambda tensor: self.given.get(tensor, array(tensor.grad))))
            self.learning_rate += rates
            return
        raise ValueError(f"step {len(self.rows) + 1}: {fault}")

    def _after_step(self, optimizer, arguments, options):
        self.weights.append(self._named(array))
        self.rows.append(np.array(self.taken))
        self.logits.append(np.array(self.outputs))
        self.taken, self.outputs, self.given = [], [], {}

    def _named(self, what):
        """What of every tensor under the names of the file; PyTorch's matrices are `(n_out, n_in)`."""
        tensors = {}
        for k, layer in enumerate(self.layers):
            tensors[f"{k}/W"] = what(layer.weight).T
            tensors[f"{k}/b"] = what(layer.bias)
        return tensors

    def save(self, path, **settings) -> None:
        """Write all steps until now; `settings` are what else is known, such as `optimizer="adam"`."""
        if not self.rows:
            raise ValueError("no step was recorded: make the recorder before the training, with its own optimizer")
        *hidden, output = self.activations
        settings = {"activation": hidden, "output_activation": output, **settings}
        series = {"weights": self.weights, "gradients": self.gradients}
        np.savez_compressed(
            path,
            X=array(self.X),
            y=array(self.y),
            rows=padded(self.rows, -1),
            epoch=epochs_of(self.rows),
            logits=padded(self.logits, 0),
            learning_rate=self.learning_rate,
            settings=json.dumps(settings),
            **{f"{key}/{name}": [step[name] for step in steps] for key, steps in series.items() for name in steps[0]},
        )


def layers_of(model: nn.Sequential) -> tuple[list[nn.Linear], list[str]]:
    """The `Linear` layers, and for each of them the activation that follows."""
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"the model is of {type(model).__name__}; a recording is of an nn.Sequential")
    layers, activations = [], []
    for k, module in enumerate(model):
        if type(module) is nn.Linear and module.bias is not None:
            layers.append(module)
            activations.append("identity")
        elif type(module) in ACTIVATIONS and layers and activations[-1] == "identity":
            activations[-1] = ACTIVATIONS[type(module)]
        else:
            allowed = ", ".join(kind.__name__ for kind in ACTIVATIONS)
            raise ValueError(f"layer {k} is {module}; allowed: Linear with a bias, and after each one of {allowed}")
    return layers, activations


def array(tensor: torch.Tensor) -> np.ndarray:
    """A copy that PyTorch does not write to."""
    return tensor.detach().cpu().numpy().copy()


def padded(arrays: list[np.ndarray], value: float) -> np.ndarray:
    """The steps under each other, each filled up with `value` to the longest batch."""
    result = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for step, given in zip(result, arrays, strict=True):
        step[: len(given)] = given
    return result


def epochs_of(batches: list[np.ndarray]) -> np.ndarray:
    """The epoch of each step, from 0: a new one begins with the step that sees a row again."""
    epoch, seen, epochs = 0, set(), []
    for rows in batches:
        if not seen.isdisjoint(rows.tolist()):
            epoch, seen = epoch + 1, set()
        seen.update(rows.tolist())
        epochs.append(epoch)
    return np.array(epochs)
