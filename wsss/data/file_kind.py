"""What kinds of data sets share that lie on disk as lists, labels, images and PNG masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from wsss.core.environment import expand, missing_folder
from wsss.core.errors import UserError
from wsss.core.files.id_list import read_list
from wsss.data.kind import Data, Purpose, Sample, Split
from wsss.data.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from wsss.core.files.store import ImageRecord
    from wsss.data.mask_files import MaskError
    from wsss.data.problems import Findings


class FileData(Data):
    """A data set that lies below a folder; a kind says only where its parts lie."""

    root: str = Field(
        description="Folder of the data set; ${NAME} (an environment variable) and ~ are read at "
        "run time."
    )
    keep_unlabelled: bool
    skip_unreadable: bool = Field(
        False,
        description="Leave out images that cannot be decoded, with a warning, instead of stopping.",
    )

    @abstractmethod
    def layout(self) -> Layout:
        """Where the parts lie; UserError where `root` is not a folder or cannot be expanded."""

    def root_folder(self) -> Path:
        """`root`, expanded; UserError where it is not a folder or cannot be expanded."""
        root = expand(self.root, "root")
        if not root.is_dir():
            raise UserError(f"root: no folder '{root}'; correct root or the variable in it")
        return root

    def missing_folders(self, key: str) -> list[str]:
        """A line where `root` is not a folder or cannot be expanded."""
        return missing_folder(self.root, f"{key}.root")

    def source_files(self, split: Split, purpose: Purpose | None = None) -> list[str]:
        """A split's list and its labels file, or its list of masks.

        The images, masks and XML annotations themselves are too many to be watched.
        """
        layout = self.layout()
        if purpose is None:
            files = [layout.lists[split], layout.labels]
        else:
            files = [m.listing for key, m in layout.masks.items() if key == (split, purpose)]
        return list(dict.fromkeys(str(file) for file in files if file.is_file()))

    def image_count(self, split: Split) -> int | None:
        """How many images a split's list names; None where it cannot be read."""
        try:
            return len(read_list(self.layout().lists[split]))
        except UserError:
            return None

    def read_images(self, split: Split, workers: int) -> tuple[int, Iterator[ImageRecord]]:
        """The images of a split's list, byte for byte; see `wsss.data.layout_images`."""
        from wsss.data.layout_images import read_records

        return read_records(self.layout(), split, self.skip_unreadable, workers)

    def read_masks(
        self, split: Split, purpose: Purpose, ids: Sequence[str], workers: int, findings: Findings
    ) -> tuple[list[str], Iterator[UInt8[np.ndarray, "h w"] | MaskError]]:
        """The masks that the list of this purpose names."""
        from wsss.data.layout_images import read_listed_masks

        return read_listed_masks(self.layout(), split, purpose, ids, workers, findings)

    def check(self, findings: Findings, workers: int) -> None:
        """Add every problem of lists, labels, images and masks; see `wsss.data.layout_checks`."""
        from wsss.data.layout_checks import check_layout

        try:
            layout = self.layout()
        except UserError as error:
            findings.add("missing file", "data set", str(error))
            return
        check_layout(layout, findings, workers)

    def samples(self, split: Split, count: int) -> Iterator[Sample]:
        """Up to `count` images, spread evenly over the split's list, with the careful masks."""
        from wsss.data.layout_images import samples

        return samples(self.layout(), split, count)


def refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as given; ValueError where one comes twice."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"class '{name}' comes twice")
    return names


def check_suffix(name: str, known: tuple[str, ...], before: str) -> None:
    """ValueError where the name of a labels file ends in none of the `known` suffixes."""
    if not name.lower().endswith(known):
        raise ValueError(
            f"labels '{name}': expected {before}a file name ending in {', '.join(known)}"
        )
