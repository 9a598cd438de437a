"""Which images an epoch has, in which order, and the random numbers that they see."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, Sampler

from wsss.core.random import generator, mix


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index): an order that depends on the seed and the epoch only."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = generator(self.seed, "order", self.epoch).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """What one of `ranks` processes loads of each batch of `size` images, in `parts`.

    Every `size` images of the sampler's order are a batch, and every parts-th of them a part,
    whoever computes them: of a part this process has the images rank, rank + ranks, …. What is left
    at the end makes no batch.
    """

    def __init__(
        self, sampler: EpochSampler, size: int, *, rank: int = 0, ranks: int = 1, parts: int = 1
    ):
        self.sampler, self.size = sampler, size  # Lightning sets the epoch of `sampler`
        self.rank, self.ranks, self.parts = rank, ranks, parts

    def __len__(self) -> int:
        return len(self.sampler) // self.size * self.parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = list(self.sampler)
        for start in range(0, len(order) - self.size + 1, self.size):
            for part in range(self.parts):
                whole = order[start + part : start + self.size : self.parts]
                yield whole[self.rank :: self.ranks]


class SeededSamples(Dataset):
    """Wraps a dataset so that sample (epoch, index) sees its own torch seed, in any worker."""

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]):
        epoch, index = key
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(self.seed, "sample", epoch, index))
            return self.dataset[index]
