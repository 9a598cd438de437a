"""The HDF5 store: images, masks and class maps of one split, one ragged record per image id.

Every file is written under a temporary name in the same folder, marked complete, and renamed;
readers refuse anything else with one line. Layout (all kinds): a flat chunked dataset `values`,
its index `offset` (N+1,), the `ids` (N,), the images' `size` (N, 2) as (H, W). Images add
`labels` (N, C); maps add `shape` (N, 3) as (K, h, w) and the ragged class ids `classes`. Values are
uint8, in maps float16, or 255 times the map as uint8 (format version 2).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# File locks fail on many network file systems. One writer per file and the rename replace them.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "BEST_EFFORT")

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8

from wsss.core.errors import UserError, cannot_write
from wsss.core.files.atomic import discard, reporting_write_errors, temporary_for, tidy
from wsss.core.files.sink import Sink
from wsss.core.software import software_versions

FORMAT = "wsss"
VERSION = 1
EIGHT_BITS = 2  # the version of maps that are kept as uint8, which version 1 does not know
REMEDY = "delete it and run again"


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    kind: "images", "masks" or "maps". split: e.g. "train". classes: names of the foreground
    classes; class id c ≥ 1 is classes[c - 1], id 0 is background, 255 is ignored.
    recipe: the canonical JSON of the recipe that made it. extra: anything else worth keeping.
    """

    kind: str
    split: str
    classes: tuple[str, ...]
    recipe: str = "{}"
    extra: dict[str, Any] | None = None

    def source(self) -> dict[str, Any]:
        """What a file made from this one keeps of it, as its `extra["source"]`."""
        return {"kind": self.kind, "recipe": json.loads(self.recipe), "extra": self.extra or {}}


@dataclass(frozen=True)
class ImageRecord:
    """One image: `data` are the encoded JPEG or PNG bytes, `labels` (C,) uint8 in {0, 1}."""

    id: str
    data: bytes
    size: tuple[int, int]
    labels: UInt8[np.ndarray, " classes"]


@dataclass(frozen=True)
class MapRecord:
    """The maps of one image.

    classes (K,): class ids, 1-based for foreground; 0 stands first where the maps hold a
    background channel of their own (softmax scores). maps (K, h, w), float16 as they are read.
    size: image (H, W).
    """

    id: str
    size: tuple[int, int]
    classes: Int[np.ndarray, " k"]
    maps: Float[np.ndarray, "k h w"]


class _Writer:
    """A file in the making: use as a context manager; only a clean exit gives it its name.

    Raises UserError where the file cannot be written: no space, no permission, no folder.
    """

    _values: tuple[Any, dict[str, Any]]  # dtype, creation options
    _version = VERSION

    def __init__(self, path: str | Path, header: Header):
        self.path = Path(path)
        self.header = header
        self._ids: list[str] = []
        self._seen: set[str] = set()
        self._sizes: list[tuple[int, int]] = []
        self._offset = [0]
        self._buffer: list[np.ndarray] = []
        self._buffered = 0

    def __enter__(self):
        with reporting_write_errors(self.path):
            self._temporary = temporary_for(self.path)
            tidy(self.path)
            self._sink = Sink(self._temporary)
        self._file = h5py.File(self._sink, "w")
        dtype, options = self._values
        self._data = self._file.create_dataset("values", (0,), dtype, maxshape=(None,), **options)
        return self

    def _append(self, image_id: str, size: tuple[int, int], values: np.ndarray) -> None:
        if image_id in self._seen:
            raise UserError(f"{self.path}: image id '{image_id}' comes twice; make ids unique")
        self._seen.add(image_id)
        self._ids.append(image_id)
        self._sizes.append((int(size[0]), int(size[1])))
        self._buffer.append(values)
        self._buffered += values.size
        self._offset.append(self._offset[-1] + values.size)
        if self._buffered * values.itemsize > 1 << 22:
            self._flush()

    def _flush(self) -> None:
        if self._buffered:
            with self._writing():
                start = self._data.shape[0]
                self._data.resize((start + self._buffered,))
                self._data[start:] = np.concatenate(self._buffer)
        self._buffer, self._buffered = [], 0

    def _index(self) -> dict[str, np.ndarray]:
        return {}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A failed write is reported in the system's words, whatever HDF5 makes of it later."""
        try:
            yield
            self._sink.check()
        except (OSError, RuntimeError) as error:
            failure = self._sink.error or error
            if isinstance(failure, OSError):
                raise cannot_write(self.path, failure) from None
            raise

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._finish()
                with self._writing():
                    self._file.close()
                    self._sink.check()
                    os.fsync(self._sink.fileno())
                    self._temporary.replace(self.path)
        finally:
            with suppress(OSError, RuntimeError):
                self._file.close()
            with suppress(OSError):
                self._sink.close()
            discard(self._temporary)

    def _finish(self) -> None:
        self._flush()
        text = h5py.string_dtype()
        self._file.create_dataset("ids", data=np.array(self._ids, dtype=object), dtype=text)
        sizes = np.array(self._sizes, dtype=np.int32).reshape(-1, 2)
        self._file["size"] = sizes
        self._file["offset"] = np.array(self._offset, dtype=np.int64)
        for name, values in self._index().items():
            self._file[name] = values
        attributes = self._file.attrs
        attributes["format"], attributes["version"] = FORMAT, self._version
        attributes["kind"], attributes["split"] = self.header.kind, self.header.split
        attributes["classes"] = json.dumps(list(self.header.classes))
        attributes["recipe"] = self.header.recipe
        attributes["extra"] = json.dumps(self.header.extra or {}, sort_keys=True)
        attributes["software"] = json.dumps(software_versions(), sort_keys=True)
        self._file.flush()
        attributes["complete"] = True


class ImageWriter(_Writer):
    """Writes an images file. Bytes are kept as they are: JPEG and PNG are compressed already."""

    _values = (np.uint8, {"chunks": (1 << 18,)})

    def __init__(self, path: str | Path, header: Header):
        super().__init__(path, header)
        self._labels: list[np.ndarray] = []

    def add(self, record: ImageRecord) -> None:
        """Append one image; UserError if its id came before."""
        if record.labels.shape != (len(self.header.classes),):
            raise UserError(
                f"{self.path}: labels of '{record.id}' have shape {record.labels.shape}, "
                f"expected ({len(self.header.classes)},)"
            )
        self._append(record.id, record.size, np.frombuffer(record.data, dtype=np.uint8))
        self._labels.append(record.labels.astype(np.uint8))

    def _index(self) -> dict[str, np.ndarray]:
        return {"labels": np.array(self._labels, np.uint8).reshape(-1, len(self.header.classes))}


class MaskWriter(_Writer):
    """Writes a masks file: (H, W) uint8 class ids (0 background, 255 ignored), lossless."""

    _values = (np.uint8, {"chunks": (1 << 18,), "compression": "gzip", "compression_opts": 4})

    def add(self, image_id: str, mask: UInt8[np.ndarray, "h w"]) -> None:
        """Append one mask; UserError if a value is neither a class id nor 255."""
        top = mask[mask != 255].max(initial=0)
        if top > len(self.header.classes):
            raise UserError(
                f"{self.path}: mask of '{image_id}' holds class {top}, "
                f"but there are {len(self.header.classes)} classes"
            )
        self._append(image_id, mask.shape, mask.reshape(-1))


class MapWriter(_Writer):
    """Writes a maps file: float16 maps of the present classes, gzip with byte shuffle.

    eight_bits: maps in [0, 1] are kept as uint8, in steps of 1/255 as grey PNGs do, half as
    many before compression; a reader gives float16 all the same.
    """

    _values = (
        np.float16,
        {"chunks": (1 << 16,), "compression": "gzip", "compression_opts": 1, "shuffle": True},
    )

    def __init__(self, path: str | Path, header: Header, *, eight_bits: bool = False):
        super().__init__(path, header)
        self._eight_bits = eight_bits
        if eight_bits:
            self._values, self._version = (np.uint8, self._values[1]), EIGHT_BITS
        self._shapes: list[tuple[int, int, int]] = []
        self._classes: list[np.ndarray] = []

    def add(
        self,
        image_id: str,
        size: tuple[int, int],
        classes: Int[np.ndarray, " k"],
        maps: Float[np.ndarray, "k h w"],
    ) -> None:
        """Append the maps of one image. K may be 0.

        UserError on NaN and values outside float16, or outside [0, 1] where eight bits hold them.
        """
        if len(classes) != len(maps):
            raise UserError(
                f"{self.path}: '{image_id}' has {len(maps)} maps of {len(classes)} classes"
            )
        if not np.isfinite(maps).all() or np.abs(maps).max(initial=0) > 65504:
            raise UserError(
                f"{self.path}: maps of '{image_id}' hold NaN, infinite or too large values; "
                "the network that made them has probably diverged"
            )
        if self._eight_bits:
            low, high = maps.min(initial=0), maps.max(initial=0)
            if low < 0 or high > 1:
                raise UserError(
                    f"{self.path}: maps of '{image_id}' from {low:.3g} to {high:.3g}; eight bits "
                    "hold [0, 1]: normalise them"
                )
            kept = np.round(maps * np.float32(255)).astype(np.uint8)
        else:
            kept = maps.astype(np.float16)
        self._append(image_id, size, kept.reshape(-1))
        self._shapes.append(maps.shape)
        self._classes.append(np.asarray(classes, dtype=np.int32))

    def _index(self) -> dict[str, np.ndarray]:
        flat = np.concatenate(self._classes) if self._classes else np.zeros(0, np.int32)
        return {"shape": np.array(self._shapes, np.int32).reshape(-1, 3), "classes": flat}


class _Reader:
    """One file or a list of shard files of one split, read as one store, by id or by position."""

    kind: str

    def __init__(self, paths: str | Path | Sequence[str | Path]):
        listed = [paths] if isinstance(paths, str | Path) else list(paths)
        self.paths = [Path(p) for p in listed]
        self._handles: dict[Path, h5py.File] = {}
        self._pid = os.getpid()
        self._where: list[tuple[Path, int]] = []
        self.ids: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self._offsets: dict[Path, np.ndarray] = {}
        headers = []
        for path in self.paths:
            with _open_checked(path, self.kind) as file, _reporting_damage(path):
                headers.append(_header(file))
                ids = [i.decode() if isinstance(i, bytes) else i for i in file["ids"][:]]
                self.ids += ids
                self.sizes += [(int(h), int(w)) for h, w in file["size"][:]]
                self._where += [(path, i) for i in range(len(ids))]
                self._offsets[path] = file["offset"][:]
                self._read_index(path, file)
        self.header: Header = headers[0]
        for path, header in zip(self.paths, headers, strict=True):
            if (header.split, header.classes) != (self.header.split, self.header.classes):
                raise UserError(
                    f"{path}: split or classes differ from {self.paths[0]}; not shards of one"
                )
        self._position = {image_id: i for i, image_id in enumerate(self.ids)}
        if len(self._position) != len(self.ids):
            raise UserError(f"{self.paths[-1]}: an image id comes twice in these shards")

    def _read_index(self, path: Path, file: h5py.File) -> None:
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._position

    def index(self, image_id: str) -> int:
        """Position of an id; UserError if the file does not hold it."""
        try:
            return self._position[image_id]
        except KeyError:
            raise UserError(
                f"{self.paths[0]}: no image '{image_id}'; made from other images, make it again"
            ) from None

    def _flat(self, position: int) -> np.ndarray:
        path, row = self._where[position]
        offset = self._offsets[path]
        values = self._handle(path)["values"]
        try:
            return values[offset[row] : offset[row + 1]]
        except OSError:
            raise UserError(f"{path}: damaged at '{self.ids[position]}'; {REMEDY}") from None

    def _handle(self, path: Path) -> h5py.File:
        if self._pid != os.getpid():  # a forked loader worker must not share the parent's handle
            self._handles, self._pid = {}, os.getpid()
        if path not in self._handles:
            self._handles[path] = h5py.File(path, "r")
        return self._handles[path]

    def close(self) -> None:
        """Close the files; reading opens them again."""
        for handle in self._handles.values():
            handle.close()
        self._handles = {}

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": {}}


class ImageReader(_Reader):
    """Reads an images file. `labels` is (N, C) uint8."""

    kind = "images"

    def __init__(self, paths: str | Path | Sequence[str | Path]):
        self._label_blocks: list[np.ndarray] = []
        super().__init__(paths)
        self.labels: UInt8[np.ndarray, "n c"] = np.concatenate(self._label_blocks)

    def _read_index(self, path: Path, file: h5py.File) -> None:
        self._label_blocks.append(file["labels"][:])

    def __getitem__(self, key: int | str) -> ImageRecord:
        i = self.index(key) if isinstance(key, str) else key
        return ImageRecord(self.ids[i], self._flat(i).tobytes(), self.sizes[i], self.labels[i])

    def __iter__(self) -> Iterator[ImageRecord]:
        return (self[i] for i in range(len(self)))


class MaskReader(_Reader):
    """Reads a masks file: `reader[id]` is (H, W) uint8."""

    kind = "masks"

    def __getitem__(self, key: int | str) -> UInt8[np.ndarray, "h w"]:
        i = self.index(key) if isinstance(key, str) else key
        return self._flat(i).reshape(self.sizes[i])

    def __iter__(self) -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
        return ((image_id, self[i]) for i, image_id in enumerate(self.ids))


class MapReader(_Reader):
    """Reads a maps file: `reader[id]` is a MapRecord."""

    kind = "maps"

    def __init__(self, paths: str | Path | Sequence[str | Path]):
        self._shapes: list[tuple[int, int, int]] = []
        self._class_ids: list[np.ndarray] = []
        super().__init__(paths)

    def _read_index(self, path: Path, file: h5py.File) -> None:
        shapes = [(int(k), int(h), int(w)) for k, h, w in file["shape"][:]]
        ends = np.cumsum([k for k, _, _ in shapes])
        self._shapes += shapes
        self._class_ids += np.split(file["classes"][:], ends[:-1]) if shapes else []

    def __getitem__(self, key: int | str) -> MapRecord:
        i = self.index(key) if isinstance(key, str) else key
        maps = self._flat(i).reshape(self._shapes[i])
        if maps.dtype == np.uint8:
            maps = (maps / np.float32(255)).astype(np.float16)
        return MapRecord(self.ids[i], self.sizes[i], self._class_ids[i], maps)

    def __iter__(self) -> Iterator[MapRecord]:
        return (self[i] for i in range(len(self)))


def file_kind(path: str | Path) -> str:
    """ "images", "masks" or "maps"; UserError for anything that is not a complete file of ours."""
    with _open_checked(Path(path), None) as file:
        return str(file.attrs["kind"])


def _header(file: h5py.File) -> Header:
    a = file.attrs
    classes = tuple(json.loads(a["classes"]))
    return Header(a["kind"], a["split"], classes, a["recipe"], json.loads(a["extra"]))


def _open_checked(path: Path, kind: str | None) -> h5py.File:
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the rule that makes it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = "truncated" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise UserError(f"{path}: {reason}; {REMEDY}") from None
    try:
        with _reporting_damage(path):
            _check(path, file, kind)
    except UserError:
        file.close()
        raise
    return file


def _check(path: Path, file: h5py.File, kind: str | None) -> None:
    if file.attrs.get("format") != FORMAT:
        raise UserError(f"{path}: an HDF5 file, but none of wsss; give a file made by wsss")
    if file.attrs.get("version") not in (VERSION, EIGHT_BITS):
        raise UserError(
            f"{path}: format version {file.attrs.get('version')}, this wsss reads "
            f"{VERSION} and {EIGHT_BITS}; {REMEDY}"
        )
    if not file.attrs.get("complete", False):
        raise UserError(f"{path}: incomplete, its writer was stopped; {REMEDY}")
    if kind is not None and file.attrs["kind"] != kind:
        raise UserError(f"{path}: holds {file.attrs['kind']}, but {kind} are needed here")
    offset = file["offset"]
    if file["values"].shape[0] != offset[-1] or len(offset) != len(file["ids"]) + 1:
        raise UserError(f"{path}: index and values disagree (damaged); {REMEDY}")


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """What HDF5, JSON and NumPy say of a missing or broken part, as one line."""
    try:
        yield
    except (KeyError, OSError, ValueError) as error:
        reason = str(error.args[0] if error.args else error).splitlines()[0]
        raise UserError(f"{path}: damaged, {reason}; {REMEDY}") from None
