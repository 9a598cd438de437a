from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean, error_lines
from wsss.core.recipe import Recipe, canonical_json


class LongSide(Recipe):
    kind: Literal["long-side"]
    max: int = Field(640, ge=8)


class ResizedCrop(Recipe):
    kind: Literal["resized-crop"]
    min_area: float = 0.35


Resize = Annotated[LongSide | ResizedCrop, Field(discriminator="kind")]


class Augment(Recipe):
    resize: Resize = LongSide(kind="long-side")
    crop: int = 512


class Network(Recipe):
    lr: float
    augment: Augment = Augment()


def test_json_is_canonical_and_comes_back():
    text = '{"lr": 0.5, "augment": {"crop": 8, "resize": {"kind": "resized-crop"}}}'
    recipe = Network.from_json(text)
    assert recipe.to_json() == (
        '{"augment":{"crop":8,"resize":{"kind":"resized-crop","min_area":0.35}},"lr":0.5}'
    )
    assert Network.from_json(recipe.to_json()) == recipe
    assert canonical_json({"b": "µ", "a": 1}) == '{"a":1,"b":"µ"}'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "lr: missing; give it a value"),
        ('{"lr":"x"}', "lr: input should be a valid number, got 'x'"),
        ('{"lr":1,"agument":{}}', "agument: unknown key (did you mean 'augment'?)"),
        (
            '{"lr":1,"augment":{"resize":{"kind":"long-side","maxx":8}}}',
            "augment.resize.maxx: unknown key (did you mean 'max'?)",
        ),
        (
            '{"lr":1,"augment":{"resize":{"kind":"long-side","resized-crop":8}}}',
            "augment.resize.resized-crop: unknown key (known: kind, max)",
        ),
        (
            '{"lr":1,"augment":{"resize":{"kind":"long-side","max":1}}}',
            "augment.resize.max: input should be greater than or equal to 8, got 1",
        ),
        (
            '{"lr":1,"augment":{"resize":{"max":9}}}',
            "augment.resize.kind: missing; give long-side or resized-crop",
        ),
        (
            '{"lr":1,"augment":{"resize":{"kind":"resize-crop"}}}',
            "augment.resize.kind: 'resize-crop' is none of long-side, resized-crop "
            "(did you mean 'resized-crop'?)",
        ),
        (
            '{"lr":1,"augment":{"resize":{"kind":7}}}',
            "augment.resize.kind: '7' is none of long-side, resized-crop",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_path(text, line):
    with pytest.raises(UserError) as caught:
        Network.from_json(text)
    assert str(caught.value) == f"--recipe: {line}"


def test_several_mistakes_are_several_lines():
    with pytest.raises(UserError) as caught:
        Network.from_json('{"augment":{"crop":"a"},"x":1}')
    assert [line.split(":")[1].strip() for line in str(caught.value).splitlines()] == [
        "lr",
        "augment.crop",
        "x",
    ]


def test_explain_of_a_union_itself():
    for text, expected in [
        ('{"max":9}', (("kind",), "kind: missing; give long-side or resized-crop")),
        ('{"kind":"q"}', (("kind",), "kind: 'q' is none of long-side, resized-crop")),
    ]:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Resize).validate_json(text)
        assert error_lines(caught.value, Resize) == [expected]


def test_did_you_mean():
    assert did_you_mean("vanila", ["vanilla", "puzzle"]) == " (did you mean 'vanilla'?)"
    assert did_you_mean("q", ["vanilla", "puzzle"]) == " (known: puzzle, vanilla)"
    assert did_you_mean("q", []) == ""
