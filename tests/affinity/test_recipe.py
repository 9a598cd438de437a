import json
import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from wsss.affinity.recipe import (
    AffinityRecipe,
    DirectRecipe,
    LabelsRecipe,
    NetworkRecipe,
    RandomWalkRecipe,
    WalkRecipe,
)
from wsss.core.errors import UserError
from wsss.core.recipe import parse_json
from wsss.crf.recipe import PseudoRecipe


def parse_affinity(data):
    """A recipe as a study's section gives it, random walk unless another method is named."""
    return parse_json(json.dumps({"method": "random-walk", **data}), AffinityRecipe)


def test_defaults_are_the_published_ones():
    recipe = parse_affinity({})
    assert isinstance(recipe, RandomWalkRecipe)
    assert (recipe.labels.foreground, recipe.labels.background) == (0.3, 0.05)
    assert (recipe.labels.crf.steps, recipe.labels.crf.confidence) == (10, 0.7)
    assert recipe.network.radius == 10
    training = recipe.network.training
    assert (training.epochs, training.batch_size, training.optimizer.lr) == (3, 32, 0.1)
    assert training.optimizer.head_multiplier == 1
    assert recipe.walk == WalkRecipe(beta=10.0, steps=256, radius=5, flip=True)
    assert recipe.pseudo.threshold == 0.3
    assert (recipe.pseudo.crf.steps, recipe.pseudo.crf.confidence) == (1, 0.9)


def test_defaults_stay_where_a_nested_key_is_given():
    recipe = parse_affinity(
        {"network": {"training": {"optimizer": {"lr": 0.01}}}, "pseudo": {"crf": {"steps": 3}}}
    )
    assert recipe.network.training.batch_size == 32
    assert recipe.network.training.optimizer.head_multiplier == 1
    assert recipe.pseudo.crf.confidence == 0.9


def test_methods_and_sections_round_trip():
    direct = parse_affinity({"method": "direct", "pseudo": {"crf": None}})
    assert direct == DirectRecipe(pseudo=PseudoRecipe(crf=None))
    adapter = TypeAdapter(AffinityRecipe)
    for recipe in (direct, RandomWalkRecipe()):
        assert adapter.validate_json(recipe.to_json()) == recipe
    for section in (LabelsRecipe(), NetworkRecipe(), WalkRecipe(), PseudoRecipe()):
        assert type(section).from_json(section.to_json()) == section


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"method": "randomwalk"},
            "'randomwalk' is none of random-walk, direct (did you mean 'random-walk'?)",
        ),
        ({"walk": {"setps": 8}}, "walk.setps: unknown key (did you mean 'steps'?)"),
        ({"walk": {"beta": 0}}, "walk.beta: "),
        ({"walk": {"radius": 1}}, "walk.radius: "),
        ({"labels": {"background": 0.3}}, "background 0.3 is not below foreground 0.3"),
        ({"network": {"backbone": {"name": "resnet50"}}}, "backbone.weights is null"),
        (
            {"network": {"augment": {"crop": 64}}},
            "augment.crop 64 gives a 16x16 boundary map, without a pair for radius 10; "
            "raise the crop to 73",
        ),
        ({"method": "direct", "walk": {}}, "walk: unknown key"),
    ],
)
def test_errors_name_the_key(data, message):
    with pytest.raises(UserError) as error:
        parse_affinity(data)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("radius", "crop"), [(10, 73), (6, 41)])
def test_the_crop_that_the_error_names_is_the_smallest(radius, crop):
    def parse(crop):
        return NetworkRecipe.from_json(json.dumps({"augment": {"crop": crop}, "radius": radius}))

    assert parse(crop).augment.crop == crop
    with pytest.raises(UserError, match=f"raise the crop to {crop}"):
        parse(crop - 1)


def test_recipe_and_command_line_import_nothing_heavy():
    code = (
        "import sys, wsss.affinity, wsss.affinity.recipe, wsss.affinity.cli; "
        "print([m for m in ('torch', 'numpy', 'h5py', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_workers_of_labels_and_pseudo_masks_do_not_import_torch():
    code = "import sys, wsss.affinity.labels, wsss.crf.pseudo; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
