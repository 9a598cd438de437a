import json

import pytest

from wsss.classifier.recipe import PNocRecipe, Ramp, parse_classifier
from wsss.core.errors import UserError


def test_a_ramp_is_linear_until_its_share_and_constant_after():
    puzzle = Ramp(start=0.0, end=4.0, until=0.5)  # α(t) = 8 t/T in the first half
    assert [puzzle.at(t) for t in (0.0, 0.25, 0.5, 0.9)] == [0, 2, 4, 4]
    erasing = Ramp(start=0.3, end=1.0)
    assert erasing.at(0) == 0.3 and erasing.at(1 / 14) == pytest.approx(0.35)
    assert Ramp(start=1.0, end=0.0).at(0.25) == 0.75  # falling ones fall
    assert Ramp(start=0.3, end=1.0, until=0).at(0) == 1.0


def test_a_ramp_that_begins_late_is_0_before_and_runs_from_there():
    late = Ramp(start=0.2, end=1.0, begin=0.25, until=0.75)
    assert [late.at(t) for t in (0.0, 0.24, 0.25, 0.5, 0.75, 1.0)] == [
        0,
        0,
        0.2,
        pytest.approx(0.6),
        1,
        1,
    ]
    assert not late.has_begun(0.24) and late.has_begun(0.25)
    assert Ramp(start=0.0, end=2.0, begin=0.5, until=0.5).at(0.5) == 2


def parse(**plain):
    return parse_classifier(json.dumps(plain))


def test_published_defaults_of_p_noc():
    recipe = parse(objective="p-noc", ordinary="oc")
    assert isinstance(recipe, PNocRecipe)
    assert recipe.puzzle.tiles == 4 and recipe.puzzle.weight == Ramp(start=0.0, end=4.0, until=0.5)
    assert recipe.erase.weight == Ramp(start=0.3, end=1.0)
    assert recipe.noc.threshold == 0.2 and recipe.noc.weight == Ramp(start=0.0, end=1.0)
    assert not recipe.noc.leak_noc_gradient
    assert recipe.training.optimizer.momentum == 0 and recipe.training.optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"objective": "p-nok", "ordinary": "x"}, r"objective: 'p-nok' is none of .*p-noc"),
        ({"objective": "oc-cse"}, r"ordinary: missing"),
        (
            {
                "objective": "puzzle",
                "puzzle": {"weight": {"start": 0, "end": 1, "begin": 0.6, "until": 0.5}},
            },
            r"puzzle\.weight: begin 0\.6 is after until 0\.5",
        ),
        ({"objective": "vanilla", "ordinary": "x"}, r"ordinary: unknown key"),
        (
            {"objective": "puzzle", "augment": {"crop": 224}, "backbone": {"output_stride": 32}},
            r"crop 224: 2×2 tiles at output stride 32 need a multiple of 64, such as 192",
        ),
        (
            {"objective": "oc-cse", "ordinary": "x", "augment": {"mix": {"kind": "cutmix"}}},
            r"augment.mix leaves no class",
        ),
        (
            {"objective": "vanilla", "training": {"batch_size": 1}},
            r"batch_size 1 has no batch statistics.* or eval \(also for a backbone without",
        ),
        (
            {"objective": "vanilla", "backbone": {"weights": "classifier"}},
            r"would be this one itself",
        ),
        (
            {"objective": "vanilla", "training": {"epochs": 2, "ema": {"start_epoch": 2}}},
            r"start_epoch 2 is never reached in 2 epochs",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(plain, message):
    with pytest.raises(UserError, match=message) as error:
        parse(**plain)
    assert len(str(error.value).splitlines()) == 1
