import subprocess
import sys

import pytest

import wsss.crf
from wsss.core.errors import UserError
from wsss.crf.pairwise import Bilateral, Gaussian, Pairwise
from wsss.crf.presets import PRESETS, USED_BY
from wsss.crf.recipe import CrfRecipe, CrfSettings

OWN = '{"gaussian":{"sxy":1,"compat":2},"bilateral":{"sxy":3,"srgb":4,"compat":5}}'


def test_presets_are_the_published_ones():
    numbers = {
        name: (t.gaussian.sxy, t.gaussian.compat, t.bilateral.sxy, t.bilateral.srgb,
               t.bilateral.compat)
        for name, t in PRESETS.items()
    }  # fmt: skip
    assert numbers == {
        "labels": (3, 3, 50, 5, 10),
        "probabilities": (3, 3, 80, 13, 10),
        "deeplab-v2": (1, 3, 67, 3, 4),
        "afa": (3, 3, 64, 5, 4),
    }
    assert USED_BY.keys() == PRESETS.keys()


def test_settings_default_to_the_label_crf():
    settings = CrfSettings.from_json("{}")
    assert settings == CrfSettings() == CrfSettings(preset="labels", steps=10, confidence=0.7)
    assert settings.kernels() is PRESETS["labels"]


def test_a_pairwise_term_of_ones_own():
    settings = CrfSettings.from_json(f'{{"pairwise":{OWN}}}')
    assert settings.preset is None
    assert settings.kernels() == Pairwise(
        gaussian=Gaussian(sxy=1, compat=2), bilateral=Bilateral(sxy=3, srgb=4, compat=5)
    )


@pytest.mark.parametrize(
    ("text", "preset", "confidence", "threshold"),
    [
        ("{}", "labels", 0.7, 0.3),
        ('{"threshold": 0.2, "preset": "afa"}', "afa", 0.7, 0.2),
        ('{"unary": "scores"}', "probabilities", 1.0, None),
        ('{"unary": "scores", "preset": "deeplab-v2"}', "deeplab-v2", 1.0, None),
        (
            '{"unary": "background-power", "alpha": 4, "confidence": 0.9}',
            "probabilities",
            0.9,
            None,
        ),
    ],
)
def test_defaults_follow_the_unary(text, preset, confidence, threshold):
    recipe = CrfRecipe.from_json(text)
    assert (recipe.preset, recipe.confidence, recipe.threshold) == (preset, confidence, threshold)
    assert CrfRecipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (CrfSettings, '{"preset": null}', "give either preset or pairwise"),
        (CrfSettings, f'{{"preset": "afa", "pairwise": {OWN}}}', "give either preset or pairwise"),
        (CrfSettings, '{"preset": "psa"}', "preset: input should be 'labels', 'probabilities'"),
        (CrfSettings, '{"confidence": 1}', "confidence: input should be less than 1"),
        (CrfSettings, '{"steps": -1}', "steps: input should be greater than or equal to 0"),
        (CrfSettings, '{"threshold": 0.3}', "threshold: unknown key"),
        (CrfRecipe, '{"confidence": 1}', 'confidence must be below 1 for the unary "labels"'),
        (CrfRecipe, '{"unary": "scores", "threshold": 0.3}', "threshold belongs to"),
        (CrfRecipe, '{"unary": "scores", "alpha": 4}', "alpha belongs to"),
        (CrfRecipe, '{"unary": "background-power"}', "needs alpha"),
        (CrfRecipe, '{"threshold": 1.0}', "threshold: input should be less than 1"),
    ],
)
def test_bad_recipes_are_one_line(model, text, message):
    with pytest.raises(UserError, match=message) as error:
        model.from_json(text)
    assert len(str(error.value).splitlines()) == 1


def test_recipes_and_command_line_are_light():
    code = (
        "import sys; import wsss.crf.recipe, wsss.crf.cli; "
        "assert not {'numpy', 'torch', 'h5py', 'pydensecrf'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    assert wsss.crf.CrfRecipe is CrfRecipe
    assert {n for n in wsss.crf.__all__ if callable(getattr(wsss.crf, n))} == {
        "Bilateral", "CrfRecipe", "CrfSettings", "Gaussian", "ImageCrf", "Pairwise", "PseudoRecipe",
        "make_pseudo_masks", "mean_field", "pseudo_mask", "unary_from_labels",
        "unary_from_probabilities",
    }  # fmt: skip
