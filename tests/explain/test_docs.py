"""The example in docs/stages/explain.md does what its comments say."""

import textwrap
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs/stages/explain.md"


def test_the_example_for_other_programs_runs():
    text = PAGE.read_text(encoding="utf-8").split("## As a library\n")[1]
    lines = [line for line in text.split("\nAll methods")[0].splitlines() if line]
    example = textwrap.dedent("\n".join(lines))
    assert 'weights="DEFAULT"' in example  # which would be downloaded
    names = {}
    torch.manual_seed(0)
    exec(example.replace('weights="DEFAULT"', "weights=None"), names)
    maps, found = names["maps"], names["found"]
    assert maps.shape == (4, 224, 224) and found.maps.shape == (4, 7, 7)
    assert maps.min() >= 0 and 0.5 < maps.max() <= 1
    assert found.images.tolist() == [0, 0, 1, 1] and found.classes.tolist() == [207, 281] * 2
