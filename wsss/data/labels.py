"""Image-level labels from files: CSV, JSON, text lists, published cls_labels.npy, and VOC's XML."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from wsss.core.errors import UserError
from wsss.core.files.id_list import image_id, read_text
from wsss.core.mistakes import did_you_mean
from wsss.data.npy_labels import read_npy_labels
from wsss.data.problems import Findings

# None: the row of this id cannot be read.
Labels = dict[str, tuple[str, ...] | None]
_ONE_HOT = {"0": False, "1": True, "0.0": False, "1.0": True}


def read_labels(path: Path, known: tuple[str, ...], findings: Findings) -> Labels:
    """Class names by image id, of a .csv, .json, .txt or .npy file (see docs/stages/data.md).

    Names are given as they stand and may be unknown ones; indices and one-hot columns refer to
    `known`. Rows that cannot be read and ids that come twice are reported to `findings`, at
    "labels". Raises UserError where the file as a whole is missing or malformed.
    """
    match path.suffix.lower():
        case ".csv":
            pairs = _csv(path, known, findings)
        case ".json":
            pairs = _json(path, findings)
        case ".txt":
            pairs = _lines(path, known)
        case ".npy":
            pairs = read_npy_labels(path, known, findings)
        case suffix:
            raise UserError(
                f"{path}: labels in '{suffix}' are not read; give .csv, .json, .txt, .npy"
            )
    labels: Labels = {}
    for name, classes in pairs:
        key = image_id(name)
        if key in labels:
            findings.add("duplicate id", "labels", f"{key}: twice in {path}")
        labels[key] = None if classes is None else tuple(classes)
    return labels


def read_xml(path: Path, difficult: bool) -> tuple[str, ...]:
    """Classes of the objects in a VOC annotation whose box, clipped to the image, has an area.

    Some tools write a size of 0 for one they do not know: boxes are not clipped by it. difficult:
    whether objects marked difficult count. Raises UserError for a malformed file.
    """
    try:
        root = ElementTree.parse(path).getroot()
        sides = [_number(root, f"size/{side}", "the image") for side in ("width", "height")]
        width, height = (side if side > 0 else math.inf for side in sides)
        names = set()
        for number, item in enumerate(root.iter("object"), start=1):
            where = f"object {number}"
            name = _text(item, "name", where)
            corners = ("xmin", "xmax", "ymin", "ymax")
            x0, x1, y0, y1 = (_number(item, f"bndbox/{corner}", where) for corner in corners)
            empty = min(x1, width) <= max(x0, 0) or min(y1, height) <= max(y0, 0)
            if not empty and (difficult or item.findtext("difficult", "0").strip() != "1"):
                names.add(name)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path}: no VOC annotation ({error}); replace the file") from None
    return tuple(sorted(names))


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = element.findtext(tag, "").strip()
    if not text:
        raise ValueError(f"{where} has no {tag}")
    return text


def _number(element: ElementTree.Element, tag: str, where: str) -> float:
    text = _text(element, tag, where)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where}: {tag} is '{text}', no number") from None


Rows = Iterable[tuple[str, Iterable[str] | None]]


def _csv(path: Path, known: tuple[str, ...], findings: Findings) -> Rows:
    text = read_text(path)
    head = text.split("\n", 1)[0]
    delimiter = next((d for d in ",\t;" if d in head), ",")
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if any(row)]
    columns = [column.strip() for column in rows[0][1][1:]] if rows else []
    if not columns:
        raise UserError(f"{path}: expected a header like image,labels; found '{head.strip()}'")
    one_hot = len(columns) > 1 or columns[0] in known
    unknown = [column for column in columns if column not in known]
    if one_hot and unknown:
        message = "; ".join(
            f"column '{name}' is not a class{did_you_mean(name, list(known))}" for name in unknown
        )
        raise UserError(f"{path}: {message}")
    for number, row in rows[1:]:
        name, *values = (value.strip() for value in row)
        try:
            if len(values) != len(columns):
                raise ValueError(
                    f"has {len(row)} fields, the header has {len(columns) + 1}; "
                    "several names in one field stand between quotes, or with blanks or ';' between"
                )
            classes = _marked_columns(values, columns) if one_hot else _names(values[0], known)
        except ValueError as error:
            findings.add("unreadable labels", "labels", f"{path}: row {number} {error}")
            classes = None
        yield name, classes


def _marked_columns(values: list[str], columns: list[str]) -> list[str]:
    wrong = next((value for value in values if value not in _ONE_HOT), None)
    if wrong is not None:
        raise ValueError(f"holds '{wrong}'; one-hot columns hold 0 or 1")
    return [column for column, value in zip(columns, values, strict=True) if _ONE_HOT[value]]


def _names(field: str, known: tuple[str, ...]) -> list[str]:
    """Names separated by ';' or ',' or else by blanks, which the name of a known class may hold."""
    if field in known:
        return [field]
    separator = next((mark for mark in ";," if mark in field), None)
    return [name.strip() for name in field.split(separator) if name.strip()]


def _json(path: Path, findings: Findings) -> Rows:
    try:
        # As pairs: a dict would swallow an id that comes twice.
        pairs = json.loads(read_text(path), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise UserError(f'{path}: expected an object like {{"id": ["cat", "dog"]}}')
    for name, classes in pairs:
        if isinstance(classes, str):
            yield name, [classes]
        elif isinstance(classes, list) and all(isinstance(c, str) for c in classes):
            yield name, classes
        else:
            message = f"{path}: labels of '{name}' are not a list of class names"
            findings.add("unreadable labels", "labels", message)
            yield name, None


def _lines(path: Path, known: tuple[str, ...]) -> Rows:
    """Lines "<id> <class> …", each class a name or its index from 0, as CLIP-ES lists COCO."""
    for line in read_text(path).splitlines():
        words = line.split()
        if words:
            yield words[0], [_by_index(word, known) for word in words[1:]]


def _by_index(word: str, known: tuple[str, ...]) -> str:
    if word not in known and word.isdecimal() and int(word) < len(known):
        return known[int(word)]
    return word
