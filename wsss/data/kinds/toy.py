"""Generated scenes: every image, label and mask follows from the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from wsss.data.kind import SPLITS, Data, Purpose, Sample, Split, spread
from wsss.data.toy.knobs import Knobs

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from wsss.core.files.store import ImageRecord
    from wsss.data.problems import Findings


class ToyData(Knobs, Data):
    """Generated scenes with exact masks; each knob is one failure mode of WSSS.

    The scene of an index depends on the seed, the split, the index and the knobs, never on how
    many scenes there are; knobs of appearance leave objects, places and masks alone.
    """

    kind: Literal["toy"]

    def masks_for(self, split: Split, purpose: Purpose) -> bool:
        """Whether `read_masks` can be asked for these: all but supervision of val."""
        return split == "train" or purpose == "evaluation"

    def source_files(self, split: Split, purpose: Purpose | None = None) -> list[str]:
        """No file decides a generated split."""
        return []

    def image_count(self, split: Split) -> int:
        """The number of scenes of a split."""
        return self.train if split == "train" else self.val

    def read_images(self, split: Split, workers: int) -> tuple[int, Iterator[ImageRecord]]:
        """The number of scenes, and their images as PNG."""
        from wsss.core.parallel import imap
        from wsss.data.toy.dataset import image_record

        count = self.image_count(split)
        return count, imap(partial(image_record, self, split), range(count), workers)

    def read_masks(
        self, split: Split, purpose: Purpose, ids: Sequence[str], workers: int, findings: Findings
    ) -> tuple[list[str], Iterator[UInt8[np.ndarray, "h w"]]]:
        """All ids, and the exact masks; ids: the whole split."""
        from wsss.core.parallel import imap
        from wsss.data.toy.dataset import mask

        return list(ids), imap(partial(mask, self, split), range(len(ids)), workers)

    def check(self, findings: Findings, workers: int) -> None:
        """Report the dropped labels, and classes without an image."""
        from wsss.data.toy.dataset import check_scenes

        for split in SPLITS:
            check_scenes(self, split, self.image_count(split), findings, workers)

    def samples(self, split: Split, count: int) -> Iterator[Sample]:
        """Up to `count` scenes, spread evenly over the split."""
        from wsss.data.toy.dataset import sample

        return (sample(self, split, i) for i in spread(self.image_count(split), count))
