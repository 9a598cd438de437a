from wsss.saliency.recipe import SaliencyRecipe

PUBLISHED = {
    "teacher": None,
    "c2am": {
        "backbone": {"output_stride": 16, "batch_norm": "train", "frozen_stages": 0},
        "augment": {
            "crop": 448,
            "resize": {"kind": "square", "side": 512},
            "flip": True,
            "colour_jitter": False,
        },
        "training": {
            "epochs": 10,
            "batch_size": 128,
            "accumulate": 1,
            "optimizer": {
                "name": "sgd",
                "lr": 1e-3,
                "momentum": 0.0,
                "weight_decay": 1e-4,
                "head_multiplier": 1.0,
                "power": 0.9,
            },
            "ema": None,
        },
        "rank_decay": 0.25,
        "hints": {"threshold": 0.4, "weight": 1.0, "label_smoothing": 0.1},
    },
    "maps": {"scales": [0.5, 1.0, 1.5, 2.0], "flip": True},
    "masks": {"threshold": 0.2, "crf": {"preset": "labels", "steps": 10, "confidence": 0.7}},
    "network": {
        "architecture": "poolnet",
        "backbone": {"name": "resnet50", "output_stride": 16, "batch_norm": "frozen"},
        "augment": {"flip": True, "colour_jitter": False},
        "training": {
            "epochs": 9,
            "batch_size": 1,
            "accumulate": 10,
            "optimizer": {
                "name": "adamw",
                "lr": 5e-5,
                "weight_decay": 5e-4,
                "head_multiplier": 1.0,
                "bias_multiplier": 1.0,
                "power": 0.0,
            },
            "ema": None,
        },
    },
    "predict": {"scales": [1.0], "flip": False},
}


def within(made, keys):
    """The part of `made` that `keys` speaks of."""
    if not isinstance(keys, dict):
        return made
    return {key: within(made[key], inner) for key, inner in keys.items()}


def test_the_defaults_are_the_published_values():
    assert within(SaliencyRecipe().model_dump(mode="json"), PUBLISHED) == PUBLISHED
