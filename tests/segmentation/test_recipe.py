import pytest

from wsss.core.errors import UserError
from wsss.segmentation.recipe import PredictRecipe, SegmentationRecipe, TrainRecipe


def test_the_defaults_are_the_published_ones():
    recipe = SegmentationRecipe()
    assert (recipe.train.training.epochs, recipe.train.training.batch_size) == (50, 32)
    optimizer = recipe.train.training.optimizer
    assert (optimizer.lr, optimizer.weight_decay, optimizer.power) == (0.007, 4e-5, 0.9)
    assert recipe.train.label_smoothing == 0.1
    assert (recipe.train.augment.crop, recipe.train.augment.resize.max) == (512, 640)
    assert recipe.predict.scales == (0.5, 1.0, 1.5, 2.0)
    assert SegmentationRecipe.from_json(recipe.to_json()) == recipe


def test_setting_one_key_keeps_the_other_defaults():
    text = '{"training": {"epochs": 3, "optimizer": {"momentum": 0.9}}}'
    training = TrainRecipe.from_json(text).training
    assert (training.epochs, training.batch_size) == (3, 32)
    optimizer = training.optimizer
    assert (optimizer.momentum, optimizer.lr, optimizer.weight_decay) == (0.9, 0.007, 4e-5)


def test_a_batch_of_one_is_refused_with_the_remedy():
    with pytest.raises(UserError, match=r"training\.batch_size 1 .*give 2 or more"):
        TrainRecipe.from_json('{"training": {"batch_size": 1}}')


def test_output_stride_32_is_refused():
    with pytest.raises(UserError, match=r"backbone\.output_stride 32 .*give 16"):
        TrainRecipe.from_json('{"backbone": {"output_stride": 32}}')


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_vgg_is_refused_at_every_stride(stride):
    text = f'{{"backbone": {{"name": "vgg16_bn", "output_stride": {stride}}}}}'
    with pytest.raises(UserError, match=r"backbone\.name vgg16_bn .*take a ResNet") as caught:
        TrainRecipe.from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"scales": []}', '{"scales": [0]}', '{"min_score": 1}'])
def test_bad_prediction_recipes_are_refused(text):
    with pytest.raises(UserError, match=r"--recipe: (scales|min_score)"):
        PredictRecipe.from_json(text)
