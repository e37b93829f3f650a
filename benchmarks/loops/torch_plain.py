"""PyTorch without a `DataLoader`: batches of row numbers on tensors that are ready in memory."""

import torch
from torch import nn

from benchmarks.loops import BATCH_SIZE, EPOCHS
from benchmarks.loops.torch_loader import accuracy, make_model

__all__ = ["accuracy", "train"]


def train(X, y, learning_rate, l2):
    """One cell."""
    model = make_model(X)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=l2)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = loss_function(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
    return model
