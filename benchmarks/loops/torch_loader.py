"""PyTorch with a `DataLoader`, as its tutorials have it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.loops import BATCH_SIZE, CLASSES, EPOCHS, HIDDEN


def make_model(X):
    """The network, in the dtype of the data."""
    torch.manual_seed(0)
    dtype = torch.from_numpy(X[:0]).dtype
    return nn.Sequential(nn.Linear(X.shape[1], HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, CLASSES)).to(dtype)


def train(X, y, learning_rate, l2):
    """One cell."""
    model = make_model(X)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=l2)
    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), batch_size=BATCH_SIZE, shuffle=True)
    for _ in range(EPOCHS):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), labels)
            loss.backward()
            optimizer.step()
    return model


def accuracy(model, X, y):
    """Share of rows that are right."""
    with torch.no_grad():
        return (model(torch.from_numpy(X)).argmax(dim=1).numpy() == y).mean()
