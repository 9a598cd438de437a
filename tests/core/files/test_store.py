import json
import multiprocessing
from pathlib import Path

import h5py
import numpy as np
import pytest

from wsss.core.errors import UserError
from wsss.core.files.store import (
    Header,
    ImageReader,
    ImageRecord,
    ImageWriter,
    MapReader,
    MapWriter,
    MaskReader,
    MaskWriter,
    file_kind,
)

CLASSES = ("cat", "dog")


def write_maps(path: Path, ids=("a", "b", "c"), seed: int = 0, split: str = "train") -> dict:
    rng = np.random.default_rng(seed)
    written = {}
    with MapWriter(path, Header("maps", split, CLASSES, '{"x":1}', {"seed": 3})) as writer:
        for i, image_id in enumerate(ids):
            k = i % 3
            maps = rng.random((k, 3 + i, 4)).astype(np.float32)
            classes = np.arange(1, k + 1)
            writer.add(image_id, (12 + i, 16), classes, maps)
            written[image_id] = (classes, maps)
    return written


def test_maps_come_back_as_float16_of_what_was_written(tmp_path):
    written = write_maps(tmp_path / "m.h5")
    reader = MapReader(tmp_path / "m.h5")
    assert reader.ids == ["a", "b", "c"]
    for image_id, (classes, maps) in written.items():
        record = reader[image_id]
        assert record.maps.shape == maps.shape
        np.testing.assert_array_equal(record.classes, classes)
        np.testing.assert_array_equal(record.maps, maps.astype(np.float16))
    assert reader["c"].size == (14, 16)
    assert reader.header.split == "train"
    assert reader.header.extra == {"seed": 3}
    assert json.loads(reader.header.recipe) == {"x": 1}


def test_eight_bits_keep_every_grey_and_refuse_what_they_cannot_hold(tmp_path):
    greys = (np.arange(256, dtype=np.float32) / 255).reshape(1, 16, 16)
    one = np.array([1])
    with MapWriter(tmp_path / "m.h5", Header("maps", "val", CLASSES), eight_bits=True) as writer:
        writer.add("greys", (16, 16), one, greys)
        writer.add("between", (16, 16), one, greys * 0.5)
        writer.add("none", (16, 16), one[:0], greys[:0])
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["values"].dtype == np.uint8
    reader = MapReader(tmp_path / "m.h5")
    assert reader["greys"].maps.dtype == np.float16
    np.testing.assert_array_equal(np.round(reader["greys"].maps * np.float32(255)), greys * 255)
    assert np.abs(reader["between"].maps - greys * 0.5).max() <= 0.5 / 255 + 2**-11
    assert reader["none"].maps.shape == (0, 16, 16)
    with (
        pytest.raises(UserError, match=r"maps of 'x' from 0 to 1.2; eight bits hold \[0, 1\]"),
        MapWriter(tmp_path / "m.h5", Header("maps", "val", CLASSES), eight_bits=True) as writer,
    ):
        writer.add("x", (16, 16), one, greys * 1.2)


def test_many_maps_cross_buffers_and_chunks(tmp_path):
    rng = np.random.default_rng(0)
    maps = [rng.random((2, 200, 130)).astype(np.float16) for _ in range(60)]
    with MapWriter(tmp_path / "m.h5", Header("maps", "val", CLASSES)) as writer:
        for i, values in enumerate(maps):
            writer.add(f"{i}", (800, 520), np.array([1, 2]), values)
    reader = MapReader(tmp_path / "m.h5")
    for i in (59, 0, 31):
        np.testing.assert_array_equal(reader[f"{i}"].maps, maps[i])


def test_shards_read_as_one_store(tmp_path):
    whole = write_maps(tmp_path / "0.h5", ("a", "b")) | write_maps(tmp_path / "1.h5", ("c", "d"), 1)
    reader = MapReader([tmp_path / "0.h5", tmp_path / "1.h5"])
    assert reader.ids == ["a", "b", "c", "d"]
    for record in reader:
        np.testing.assert_array_equal(record.maps, whole[record.id][1].astype(np.float16))
    write_maps(tmp_path / "2.h5", ("e",), split="val")
    with pytest.raises(UserError, match="not shards of one"):
        MapReader([tmp_path / "0.h5", tmp_path / "2.h5"])
    with pytest.raises(UserError, match="comes twice"):
        MapReader([tmp_path / "0.h5", tmp_path / "0.h5"])


def test_images_keep_their_bytes(tmp_path):
    records = [
        ImageRecord("x", b"\xff\xd8 any bytes", (3, 5), np.array([1, 0], np.uint8)),
        ImageRecord("ÿ/z", b"", (1, 1), np.array([0, 0], np.uint8)),
    ]
    with ImageWriter(tmp_path / "i.h5", Header("images", "val", CLASSES)) as writer:
        for record in records:
            writer.add(record)
    reader = ImageReader(tmp_path / "i.h5")
    for expected, found in zip(records, reader, strict=True):
        assert (found.id, found.data, found.size) == (expected.id, expected.data, expected.size)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_masks_are_lossless_and_checked(tmp_path):
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    with MaskWriter(tmp_path / "m.h5", Header("masks", "val", CLASSES)) as writer:
        writer.add("x", mask)
        with pytest.raises(UserError, match="'y' holds class 3"):
            writer.add("y", mask + np.uint8(1))
        with pytest.raises(UserError, match="'x' comes twice"):
            writer.add("x", mask)
    np.testing.assert_array_equal(MaskReader(tmp_path / "m.h5")["x"], mask)


def test_nan_maps_are_refused(tmp_path):
    with MapWriter(tmp_path / "m.h5", Header("maps", "val", CLASSES)) as writer:
        with pytest.raises(UserError, match="'x' hold NaN"):
            writer.add("x", (2, 2), np.array([1]), np.full((1, 2, 2), np.nan, np.float32))


def test_same_content_same_bytes(tmp_path):
    write_maps(tmp_path / "a.h5")
    write_maps(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_an_error_leaves_nothing_and_spares_the_old_file(tmp_path):
    write_maps(tmp_path / "m.h5")
    before = (tmp_path / "m.h5").read_bytes()
    with pytest.raises(RuntimeError, match="stop"):
        with MapWriter(tmp_path / "m.h5", Header("maps", "train", CLASSES)) as writer:
            writer.add("z", (2, 2), np.array([1]), np.ones((1, 2, 2), np.float32))
            raise RuntimeError("stop")
    assert (tmp_path / "m.h5").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def garbage(path):
    path.write_bytes(b"not hdf5 at all")


def foreign(path):
    with h5py.File(path, "w") as file:
        file["values"] = np.zeros(3)


def newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99


def incomplete(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["complete"]


def without_index(path):
    with h5py.File(path, "r+") as file:
        del file["offset"]


def shortened(path):
    with h5py.File(path, "r+") as file:
        file["values"].resize((5,))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "truncated"),
        (garbage, "not an HDF5 file"),
        (foreign, "none of wsss"),
        (newer, "version 99"),
        (incomplete, "incomplete"),
        (without_index, "damaged"),
        (shortened, "disagree"),
    ],
)
def test_bad_files_are_refused_by_one_line_with_a_remedy(tmp_path, damage, says):
    path = tmp_path / "m.h5"
    write_maps(path)
    damage(path)
    with pytest.raises(UserError, match=says) as caught:
        MapReader(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message or "give" in message


def broken_recipe(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["recipe"]


def broken_extra(path):
    with h5py.File(path, "r+") as file:
        file.attrs["extra"] = "{"


def without_shapes(path):
    with h5py.File(path, "r+") as file:
        del file["shape"]


@pytest.mark.parametrize("damage", [broken_recipe, broken_extra, without_shapes])
def test_a_damaged_header_or_index_is_one_line(tmp_path, damage):
    path = tmp_path / "m.h5"
    write_maps(path)
    damage(path)
    with pytest.raises(UserError, match=r"m\.h5: damaged, .*; delete it and run again$") as caught:
        MapReader(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_chunk_names_the_image(tmp_path):
    path = tmp_path / "m.h5"
    rng = np.random.default_rng(0)
    with MapWriter(path, Header("maps", "val", CLASSES)) as writer:
        for image_id in ("a", "b"):
            maps = rng.random((1, 256, 256)).astype(np.float32)  # one chunk each
            writer.add(image_id, (256, 256), np.array([1]), maps)
    with h5py.File(path) as file:
        chunk = file["values"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"\xff" * 1000)
    reader = MapReader(path)
    assert reader["a"].maps.shape == (1, 256, 256)
    with pytest.raises(UserError, match=r"m\.h5: damaged at 'b'; delete it and run again$"):
        reader["b"]


def test_missing_and_wrong_kind(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        MapReader(tmp_path / "none.h5")
    write_maps(tmp_path / "m.h5")
    with pytest.raises(UserError, match="holds maps, but masks"):
        MaskReader(tmp_path / "m.h5")
    assert file_kind(tmp_path / "m.h5") == "maps"


def test_an_unknown_id_names_file_and_id(tmp_path):
    write_maps(tmp_path / "m.h5")
    with pytest.raises(UserError, match=r"m\.h5: no image 'zebra'"):
        MapReader(tmp_path / "m.h5")["zebra"]


def _read(path, image_id, queue):
    queue.put(float(MapReader(path)[image_id].maps.sum()))


def test_many_readers_at_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # the processes import this file
    write_maps(tmp_path / "m.h5")
    own = MapReader(tmp_path / "m.h5")
    expected = float(own["c"].maps.sum())
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_read, args=(tmp_path / "m.h5", "c", queue)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=60) for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join()


def test_read_only_files_can_be_read(tmp_path):
    write_maps(tmp_path / "m.h5")
    (tmp_path / "m.h5").chmod(0o444)
    assert len(MapReader(tmp_path / "m.h5")) == 3
