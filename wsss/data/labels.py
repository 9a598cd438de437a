"""Image-level labels from files: CSV, JSON, text lists, published cls_labels.npy, and VOC's XML."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from wsss.core.errors import UserError
from wsss.core.id_list import image_id, read_text
from wsss.core.recipe import did_you_mean
from wsss.data.npy_labels import read_npy_labels

Labels = dict[str, tuple[str, ...]]


def read_labels(path: Path, known: tuple[str, ...]) -> Labels:
    """Class names by image id, of a .csv, .json, .txt or .npy file (see docs/stages/data.md).

    Names are given as they stand and may be unknown ones; indices and one-hot columns refer to
    `known`. Raises UserError for a missing or malformed file and for ids that come twice.
    """
    match path.suffix.lower():
        case ".csv":
            pairs = _csv(path, known)
        case ".json":
            pairs = _json(path)
        case ".txt":
            pairs = _lines(path, known)
        case ".npy":
            pairs = read_npy_labels(path, known)
        case suffix:
            raise UserError(
                f"{path}: labels in '{suffix}' are not read; give .csv, .json, .txt, .npy"
            )
    labels: Labels = {}
    twice = set()
    for name, classes in pairs:
        key = image_id(name)
        if key in labels:
            twice.add(key)
        labels[key] = tuple(classes)
    if twice:
        some = ", ".join(sorted(twice)[:5])
        raise UserError(f"{path}: {len(twice)} ids come twice: {some}; keep one row an id")
    return labels


def read_xml(path: Path, difficult: bool) -> tuple[str, ...]:
    """Classes of the objects in a VOC annotation whose box, clipped to the image, has an area.

    difficult: whether objects marked difficult count. Raises UserError for a malformed file.
    """
    try:
        root = ElementTree.parse(path).getroot()
        width, height = (float(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
        names = set()
        for item in root.iter("object"):
            corners = ("xmin", "xmax", "ymin", "ymax")
            x0, x1, y0, y1 = (float(item.findtext(f"bndbox/{corner}", "")) for corner in corners)
            empty = min(x1, width) <= max(x0, 0) or min(y1, height) <= max(y0, 0)
            if not empty and (difficult or item.findtext("difficult", "0").strip() != "1"):
                names.add(item.findtext("name", "").strip())
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path}: no VOC annotation ({error}); replace the file") from None
    return tuple(sorted(names))


def _csv(path: Path, known: tuple[str, ...]) -> Iterable[tuple[str, Iterable[str]]]:
    text = read_text(path)
    head = text.split("\n", 1)[0]
    delimiter = next((d for d in ",\t;" if d in head), ",")
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    columns = [column.strip() for column in rows[0][1:]] if rows else []
    if not columns:
        raise UserError(f"{path}: expected a header like image,labels; found '{head.strip()}'")
    one_hot = len(columns) > 1 or columns[0] in known
    if one_hot:
        for column in columns:
            if column not in known:
                near = did_you_mean(column, list(known))
                raise UserError(f"{path}: column '{column}' is no class{near}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns) + 1:
            raise UserError(
                f"{path}: row {number} has {len(row)} fields, the header has {len(columns) + 1}; "
                "separate the names in one field by blanks or ';'"
            )
        if not one_hot:
            yield row[0].strip(), _names(row[1], known)
            continue
        values = [value.strip() for value in row[1:]]
        wrong = next((value for value in values if value not in {"0", "1"}), None)
        if wrong is not None:
            raise UserError(f"{path}: row {number} holds '{wrong}'; one-hot columns hold 0 or 1")
        yield row[0].strip(), [c for c, v in zip(columns, values, strict=True) if v == "1"]


def _names(field: str, known: tuple[str, ...]) -> list[str]:
    """Names separated by ';' or else by blanks; a name may hold blanks if it is a known class."""
    if ";" in field:
        return [name.strip() for name in field.split(";") if name.strip()]
    return [field.strip()] if field.strip() in known else field.split()


def _json(path: Path) -> Iterable[tuple[str, Iterable[str]]]:
    try:
        # As pairs: a dict would swallow an id that comes twice.
        pairs = json.loads(read_text(path), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise UserError(f'{path}: expected an object like {{"id": ["cat", "dog"]}}')
    for name, classes in pairs:
        if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
            raise UserError(f"{path}: labels of '{name}' are no list of class names")
    return pairs


def _lines(path: Path, known: tuple[str, ...]) -> Iterable[tuple[str, Iterable[str]]]:
    """Lines "<id> <class> …", each class a name or its index from 0, as CLIP-ES lists COCO."""
    for line in read_text(path).splitlines():
        words = line.split()
        if words:
            yield words[0], [_by_index(word, known) for word in words[1:]]


def _by_index(word: str, known: tuple[str, ...]) -> str:
    if word not in known and word.isdecimal() and int(word) < len(known):
        return known[int(word)]
    return word
