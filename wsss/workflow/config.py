"""The whole configuration: every stage's recipes, experiments, tables; checked before the DAG."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from wsss.affinity.recipe import AffinityRecipe
from wsss.cam.recipe import CamRecipe
from wsss.classifier.recipe import AnyClassifier
from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean
from wsss.core.recipe import canonical_json
from wsss.crf.recipe import CrfRecipe
from wsss.data.recipe import DataRecipe
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.explain.recipe import ExplainRecipe
from wsss.report.recipe import GalleryRecipe, TableRecipe
from wsss.saliency.recipe import SaliencyRecipe
from wsss.segmentation.recipe import SegmentationRecipe
from wsss.workflow.experiment import Experiment


class Config(BaseModel):
    """A configuration with every `extends` resolved and every default filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: dict[str, DataRecipe] = {}
    classifier: dict[str, AnyClassifier] = {}
    cam: dict[str, CamRecipe] = {}
    crf: dict[str, CrfRecipe] = {}
    saliency: dict[str, SaliencyRecipe] = {}
    affinity: dict[str, AffinityRecipe] = {}
    segmentation: dict[str, SegmentationRecipe] = {}
    explain: dict[str, ExplainRecipe] = {}
    evaluation: EvaluationRecipe = EvaluationRecipe()
    experiments: dict[str, Experiment] = {}
    tables: dict[str, TableRecipe] = {}
    galleries: GalleryRecipe = GalleryRecipe()
    seeds: list[int] = Field([0], min_length=1, description="Every experiment runs once per seed.")
    shards: int = Field(
        1,
        ge=1,
        le=256,  # a reader holds a file open for each
        description="Jobs that share the images of a split, where maps, masks and CRFs are made.",
    )
    training_gpus: int = Field(
        1,
        ge=1,
        description="GPUs of each training; they share its batches.",
    )
    track_code: bool = Field(
        True,
        strict=False,  # Snakemake hands on `--config track_code=false` as a word
        description="false: a change of code reruns nothing; `wsss status` lists what is stale.",
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _from_the_command_line(cls, seeds: Any) -> Any:
        """Snakemake makes strings of the numbers in `--config seeds=[0,1]`."""
        if not isinstance(seeds, list):
            return seeds
        return [int(s) if isinstance(s, str) and s.isascii() and s.isdigit() else s for s in seeds]

    def recipe(self, section: str, name: str, *keys: str) -> str:
        """Canonical JSON of a recipe, or of a part of it: the one param of its jobs.

        Raises UserError if no such recipe exists, or if it has no such part.
        """
        value: Any = self.entry(section, name).model_dump(mode="json")
        for key in keys:
            value = value.get(key)
            if value is None:
                part = ".".join(keys)
                raise UserError(
                    f"{section} recipe '{name}' has no part '{part}'; it does not make this file"
                )
        return canonical_json(value)

    def entry(self, section: str, name: str) -> Any:
        """A named recipe, experiment or table; UserError if there is none."""
        known = getattr(self, section)
        if name not in known:
            raise UserError(f"{section} has no '{name}'{did_you_mean(name, list(known))}")
        return known[name]

    def with_c2am(self, experiment: Experiment) -> Experiment:
        """The experiment with the saliency recipe that makes its C²AM maps.

        That is its own recipe, or the teacher of its own.
        """
        recipe = self.saliency.get(experiment.saliency)
        if recipe is None or recipe.teacher is None:
            return experiment
        return experiment.model_copy(update={"saliency": recipe.teacher})

    def classifiers(self, name: str | None) -> list[str]:
        """A classifier recipe and those it needs: its ordinary classifier, and so on."""
        if name is None:
            return []
        needed = [name]
        while (following := getattr(self.classifier[needed[-1]], "ordinary", None)) is not None:
            needed.append(following)
        return needed


# What an experiment chooses recipes of.
STAGES = ("dataset", "classifier", "cam", "saliency", "affinity", "segmentation", "explain")
NAMED = (
    "dataset",
    "classifier",
    "cam",
    "crf",
    "saliency",
    "affinity",
    "segmentation",
    "explain",
    "experiments",
    "tables",
)
