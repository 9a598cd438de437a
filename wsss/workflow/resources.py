"""What a job asks a cluster for: memory and minutes, which grow with images and attempts."""

from __future__ import annotations

from collections.abc import Mapping

from wsss.workflow.config import Config

USUAL = 10_000  # images for which the rules state their minutes


def megabytes(base: int, attempt: int, gpus: int = 1) -> int:
    """Memory for the process of each GPU, more with each attempt."""
    return base * gpus * attempt


class Minutes:
    """How long the jobs of a configuration may take. longest: what the site allows a job."""

    def __init__(self, config: Config, longest: int):
        self.config, self.longest = config, longest
        self._counts: dict[tuple[str, str], int] = {}

    def minutes(self, base: int, attempt: int) -> int:
        """Minutes that grow with each attempt, up to what the site allows."""
        return min(base * attempt, self.longest)

    def by_images(self, base: int, wildcards: Mapping[str, str], attempt: int) -> int:
        """Minutes that also grow with the images of the job's split, or of train if it has none.

        base: for 10,000 images, which is also what counts where their list cannot be read.
        Half an hour at least. A training that needs more goes on with the next attempt.
        """
        images: float = self._images(wildcards["dataset"], wildcards.get("split", "train"))
        if wildcards.get("shard"):
            images /= self.config.shards
        return self.minutes(max(30, round(base * images / USUAL)), attempt)

    def _images(self, dataset: str, split: str) -> int:
        if (dataset, split) not in self._counts:
            recipe = self.config.dataset.get(dataset)
            self._counts[dataset, split] = (recipe and recipe.image_count(split)) or USUAL
        return self._counts[dataset, split]
