import json

import pytest

from wsss.core.errors import UserError
from wsss.data.labels import read_labels, read_xml
from wsss.data.problems import Findings

KNOWN = ("cat", "dog", "potted plant")


def labels(tmp_path, name: str, text: str, known=KNOWN):
    path = tmp_path / name
    path.write_text(text)
    findings = Findings()
    found = read_labels(path, known, findings)
    findings.raise_errors()
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "image,labels\na.jpg,dog cat\nb,\nc,potted plant\n"),
        ("l.csv", "image,labels\na,cat;dog\nb,\nc,potted plant\n"),
        ("l.csv", 'image,labels\na,"cat,dog"\nb,""\nc,"potted plant"\n'),
        ("l.csv", 'image,labels\na,"cat, dog"\nb,\nc,"potted plant,"\n'),
        ("l.csv", '\ufeffimage;labels\r\na;cat dog\r\nb;""\r\nc;potted plant\r\n'),
        ("l.csv", "id,potted plant,cat,dog\na,0,1,1\nb,0,0,0\nc,1,0,0\n"),
        ("l.csv", "id,potted plant,cat,dog\na,0.0,1.0,1.0\nb,0.0,0.0,0.0\nc,1.0,0.0,0.0\n"),
        ("l.csv", "id\tcat\tdog\tpotted plant\na\t1\t1\t0\nb\t0\t0\t0\nc\t0\t0\t1\n"),
        ("l.json", json.dumps({"a": ["cat", "dog"], "b": [], "c": ["potted plant"]})),
        ("l.json", json.dumps({"a": ["cat", "dog"], "b": [], "c": "potted plant"})),
        ("l.txt", "a 0 1\nb\nc.jpg 2\n"),
    ],
)
def test_layouts_of_labels(tmp_path, name, text):
    found = labels(tmp_path, name, text)
    assert {key: set(names) for key, names in found.items()} == {
        "a": {"cat", "dog"},
        "b": set(),
        "c": {"potted plant"},
    }


def test_one_class_one_hot(tmp_path):
    found = labels(tmp_path, "l.csv", "image,crack\na,1\nb,0\n", ("crack",))
    assert found == {"a": ("crack",), "b": ()}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "image,cat,dgo\na,1,0\n", "column 'dgo' is not a class (did you mean 'dog'?)"),
        ("l.csv", "image,cat,dog\na,1,2\n", "row 2 holds '2'"),
        ("l.csv", "image,labels\na,cat,dog\n", "row 2 has 3 fields, the header has 2"),
        ("l.csv", "", "expected a header"),
        ("l.csv", "image,labels\na,cat\na.jpg,dog\nb,\nb,cat\n", "duplicate id, 2 times: a: twice"),
        ("l.json", '{"a": ["cat"], "a": ["dog"]}', "duplicate id, 1 times: a: twice"),
        ("l.json", '{"a": 1}', "labels of 'a' are not a list"),
        ("l.json", '{"a": ["cat", 1]}', "labels of 'a' are not a list"),
        ("l.csv", "image,cat,dgo,x\na,1,0\n", "column 'x' is not a class"),
        ("l.json", '["a"]', "expected an object"),
        ("l.json", "{", "not valid JSON"),
    ],
)
def test_mistakes_in_labels(tmp_path, name, text, message):
    with pytest.raises(UserError) as caught:
        labels(tmp_path, name, text)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_every_row_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("image,cat,dog\na,1,0\nb,1\n\nc,1,2\na.jpg,0,1\nd,0,x\n")
    findings = Findings()
    found = read_labels(path, KNOWN, findings)
    assert found == {"a": ("dog",), "b": None, "c": None, "d": None}
    rows, twice = sorted(findings.problems(), key=lambda p: -p.count)
    assert (rows.kind, rows.where, rows.count) == ("unreadable labels", "labels", 3)
    assert "row 3 has 2 fields" in rows.examples[0]
    assert "row 5 holds '2'" in rows.examples[1]
    assert "row 7 holds 'x'" in rows.examples[2]
    assert (twice.kind, twice.examples) == ("duplicate id", (f"a: twice in {path}",))


def xml(tmp_path, text: str, difficult: bool = True):
    path = tmp_path / "a.xml"
    path.write_text(text)
    return read_xml(path, difficult)


def test_xml_counts_objects_whose_clipped_box_has_an_area(tmp_path, annotation):
    names = ["cat", "cat", "dog", "cow", "sheep", "bird"]
    boxes = [
        (1, 1, 5, 5),
        (2, 2, 9, 9),
        (5, 5, 5, 9),
        (16, 0, 30, 12),
        (-4, 2, 0, 8),
        (9, 3, 99, 4),
    ]
    # dog has no width; cow and sheep have none once clipped to 16×12; bird is cut, but there.
    assert xml(tmp_path, annotation(names, boxes)) == ("bird", "cat")


def test_xml_difficult_objects(tmp_path, annotation):
    text = annotation(["cat", "dog"], difficult=["dog"])
    assert xml(tmp_path, text) == ("cat", "dog")
    assert xml(tmp_path, text, difficult=False) == ("cat",)


def test_xml_names_of_parts_are_no_labels(tmp_path, annotation):
    assert "head" not in xml(tmp_path, annotation(["person"]))


@pytest.mark.parametrize("size", [("0", "0"), ("0", "12"), ("16", "-1")])
def test_xml_boxes_are_not_clipped_by_a_size_that_is_none(tmp_path, annotation, size):
    old = "<width>16</width><height>12</height>"
    text = annotation(["cat", "dog"], [(2, 2, 9, 9), (5, 5, 5, 9)])
    assert old in text
    new = f"<width>{size[0]}</width><height>{size[1]}</height>"
    assert xml(tmp_path, text.replace(old, new)) == ("cat",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<width>16</width>", "", "the image has no size/width"),
        ("<height>12</height>", "<height/>", "the image has no size/height"),
        ("<height>12</height>", "<height>x</height>", "the image: size/height is 'x', no number"),
        ("<ymax>9</ymax>", "", "object 2 has no bndbox/ymax"),
        ("<name>dog</name>", "<name> </name>", "object 2 has no name"),
    ],
)
def test_xml_with_an_element_missing_names_it(tmp_path, annotation, old, new, message):
    text = annotation(["cat", "dog"], [(1, 1, 5, 5), (2, 2, 9, 9)])
    assert text.count(old) == 1
    with pytest.raises(UserError) as caught:
        xml(tmp_path, text.replace(old, new))
    assert f"a.xml: no VOC annotation ({message})" in str(caught.value)


@pytest.mark.parametrize("text", ["<annotation>", "<annotation><object/></annotation>", "\x00"])
def test_xml_that_is_none(tmp_path, text):
    with pytest.raises(UserError, match=r"a\.xml: no VOC annotation"):
        xml(tmp_path, text)
