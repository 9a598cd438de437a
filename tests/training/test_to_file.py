"""How many workers a training's loader gets."""

import pytest
import torch

from wsss.training.to_file import loader_workers


@pytest.mark.parametrize(
    ("cuda", "threads", "workers"),
    [(False, 1, 0), (False, 2, 2), (False, 8, 2), (True, 1, 1), (True, 2, 1), (True, 8, 7)],
)
def test_loader_workers(monkeypatch, cuda, threads, workers):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert loader_workers(threads) == workers
