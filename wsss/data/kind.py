"""What every kind of data set can do. One file of `wsss/data/kinds/` holds one kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from wsss.core.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from wsss.core.files.store import ImageRecord
    from wsss.data.mask_files import MaskError
    from wsss.data.problems import Findings

Split = Literal["train", "val"]
Purpose = Literal["evaluation", "supervision"]
SPLITS: tuple[Split, ...] = ("train", "val")


class Sample(NamedTuple):
    """An image to look at. labels: (C,) in {0, 1}. mask: class ids, None where there is none."""

    id: str
    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"] | None
    labels: UInt8[np.ndarray, " c"]


class Data(Recipe):
    """The recipe of a data set, which also reads it.

    The Snakefile imports this module and asks the first five members, so they open no image, and
    a kind imports numpy and the like inside its methods.
    """

    # Kinds of warnings (`wsss.data.problems.WARNINGS`) that are errors in this kind of data.
    errors: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id c is entry c - 1."""

    @abstractmethod
    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `read_masks` can be asked for these; supervision is for train only."""

    @abstractmethod
    def source_files(self, split: Split, purpose: Purpose | None = None) -> list[str]:
        """The small files that decide a split, which Snakemake watches: lists and labels.

        purpose: None for what `read_images` reads, else for what `read_masks` reads. A file that
        does not exist is left out, so that the job runs and reports it. Raises UserError where
        the place of the data set cannot be found.
        """

    def missing_folders(self, key: str) -> list[str]:
        """What this machine lacks, a line each. key: where the recipe stands in the configuration.

        A kind that lies on no disk lacks nothing.
        """
        return []

    @abstractmethod
    def image_count(self, split: Split) -> int | None:
        """How many images a split has at most; None where that cannot be read."""

    @abstractmethod
    def read_images(self, split: Split, workers: int) -> tuple[int, Iterator[ImageRecord]]:
        """How many images there are at most, and the images, read in `workers` processes.

        Raises UserError where lists or labels are wrong, and at the end for unreadable images.
        """

    @abstractmethod
    def read_masks(
        self, split: Split, purpose: Purpose, ids: Sequence[str], workers: int, findings: Findings
    ) -> tuple[list[str], Iterator[UInt8[np.ndarray, "h w"] | MaskError]]:
        """The images among `ids` that have a mask, and their masks of class ids, in order.

        Problems with the list of masks are added to `findings`. Raises UserError if no image has
        a mask.
        """

    @abstractmethod
    def check(self, findings: Findings, workers: int) -> None:
        """Add every problem of both splits to `findings`; opens each image and mask once."""

    @abstractmethod
    def samples(self, split: Split, count: int) -> Iterator[Sample]:
        """Up to `count` images, spread evenly over the split."""


def spread(total: int, count: int) -> list[int]:
    """Up to `count` positions, evenly over 0 … total - 1."""
    return [i * total // min(count, total) for i in range(min(count, total))]
