"""The import paths that docs showed before the layout of 0.2.0, and those that they show now."""

import importlib

import pytest

import wsss.attribution.smooth
import wsss.attribution.tta
import wsss.explain.localization
import wsss.explain.metrics

PATHS = [
    ("wsss.explain", "METHODS Classifier psi resize FullGradient full_gradient Maps"),
    ("wsss.explain.smooth", "smooth"),
    ("wsss.explain.tta", "tta"),
    ("wsss.explain.metrics", "per_detection aggregate read_rows"),
    ("wsss.explain.deletion_insertion", "deletion insertion area"),
    ("wsss.explain.pointing_game", "PointingGame"),
    ("wsss.explain.box_accuracy", "BoxAccuracy"),
    ("wsss.explain.pixel_ap", "PixelAP"),
    ("wsss.explain.peak_iou", "PeakIou"),
    ("wsss.explain.localization", "BoxAccuracy PeakIou PixelAP PointingGame"),
    ("wsss.evaluation", "threshold_curve"),
    ("wsss.data", "ToyData generate"),
    ("wsss.crf", "CrfSettings ImageCrf mean_field unary_from_labels"),
    ("wsss.affinity", "random_walk"),
]


@pytest.mark.parametrize(("module", "names"), PATHS, ids=[module for module, _ in PATHS])
def test_documented_names_can_be_called(module, names):
    for name in names.split():
        found = getattr(importlib.import_module(module), name)
        assert callable(found) or name == "METHODS"


def test_old_paths_give_the_same_objects():
    assert importlib.import_module("wsss.explain.smooth").smooth is wsss.attribution.smooth.smooth
    assert importlib.import_module("wsss.explain.tta").tta is wsss.attribution.tta.tta
    deletion = importlib.import_module("wsss.explain.deletion_insertion").deletion
    assert deletion is wsss.explain.metrics.deletion
    game = importlib.import_module("wsss.explain.pointing_game").PointingGame
    assert game is wsss.explain.localization.PointingGame
