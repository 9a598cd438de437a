import pytest

from wsss.classifier.recipe import VanillaRecipe, parse_classifier
from wsss.core.errors import UserError


def test_the_defaults_are_published_ones():
    recipe = VanillaRecipe.from_json("{}")
    assert recipe.objective == "vanilla" and recipe.label_smoothing == 0.0
    assert (recipe.augment.crop, recipe.augment.resize.min, recipe.augment.resize.max) == (
        512,
        320,
        640,
    )
    optimizer = recipe.training.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.0, 1e-4)
    assert parse_classifier(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"label_smoothing": 1.0', "label_smoothing: .*less than 1, got 1.0"),
        ('"label_smoothing": -0.1', "label_smoothing: .*greater than or equal to 0"),
        ('"backbon": {}', r"backbon: unknown key \(did you mean 'backbone'"),
        ('"augment": {"resize": {"kind": "long-side", "min": 9, "max": 8}}', "min 9 is above"),
    ],
)
def test_mistakes_are_named(text, line):
    with pytest.raises(UserError, match=f"^--recipe: .*{line}"):
        parse_classifier('{"objective": "vanilla", ' + text + "}")
