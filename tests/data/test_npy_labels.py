import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from wsss.core.errors import UserError
from wsss.data import labels
from wsss.data.problems import Findings
from wsss.data.recipe import VOC_CLASSES

KNOWN = ("cat", "cow", "dog")


def read_labels(path: Path, known):
    findings = Findings()
    found = labels.read_labels(path, known, findings)
    findings.raise_errors()
    return found


def saved(tmp_path, value) -> Path:
    path = tmp_path / "cls_labels.npy"
    np.save(path, value, allow_pickle=True)
    return path


def raw(tmp_path, data: bytes) -> Path:
    """A .npy file whose pickle is `data`."""
    path = saved(tmp_path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1] + data)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool", ">f4"])
def test_dict_of_vectors(tmp_path, dtype):
    value = {"2007_000032": np.array([1, 0, 1], dtype), "x": np.zeros(3, dtype)}
    assert read_labels(saved(tmp_path, value), KNOWN) == {"2007_000032": ("cat", "dog"), "x": ()}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_numpy_has_written(tmp_path, protocol):
    value = np.array({"a": np.array([0, 1, 0], np.float32)}, dtype=object)
    data = pickle.dumps(value, protocol)
    assert read_labels(raw(tmp_path, data), KNOWN) == {"a": ("cow",)}
    # Older NumPy spells its modules differently.
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    if protocol == 2:
        assert read_labels(raw(tmp_path, old), KNOWN) == {"a": ("cow",)}


def test_integer_keys(tmp_path):
    value = {np.int32(2007000032): np.ones(3, np.float32), 9: np.zeros(3, np.float32)}
    assert set(read_labels(saved(tmp_path, value), KNOWN)) == {"2007_000032", "9"}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_the_file_is_refused_and_not_run(tmp_path):
    path = saved(tmp_path, {"a": Evil(tmp_path / "made")})
    with pytest.raises(UserError, match=r"holds the name \w+\.mkdir, refused"):
        read_labels(path, KNOWN)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name",
    [
        b"cbuiltins\neval\n",
        b"cnumpy\nload\n",
        b"cnumpy\nmemmap\n",
        b"ccodecs\nopen\n",
        b"cwsss.data.npy_labels\n_Unpickler\n",
    ],
)
def test_every_other_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="refused"):
        read_labels(raw(tmp_path, b"\x80\x02" + name + b"."), KNOWN)


def test_other_codecs_are_refused(tmp_path):
    data = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
    with pytest.raises(UserError, match="holds codec 'rot13', refused"):
        read_labels(raw(tmp_path, data), KNOWN)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": np.ones(4)}, r"'a' has shape \(4,\), expected \(3,\)"),
        ({"a": np.ones((1, 3))}, r"shape \(1, 3\)"),
        ({"a": np.array(["x"] * 3)}, "refused"),
        ({"a": np.array([{}] * 3, object)}, "refused"),
        ({"a": [1, 0, 1]}, "no dict of label vectors"),
        ({1.5: np.ones(3)}, "holds a key of type float"),
        ([1, 2], "refused|no dict of label vectors"),
        (np.ones(3), "holds an array of float64, not a dict"),
    ],
)
def test_other_contents(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        read_labels(saved(tmp_path, value), KNOWN)


def test_truncated_at_every_place(tmp_path):
    path = saved(tmp_path, {"a": np.ones(3, np.float32)})
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_labels(path, KNOWN)


def test_published_files():
    folder = os.environ.get("VOC_LISTS")
    if not folder:
        pytest.skip("VOC_LISTS does not name a folder with published label files")
    irn = read_labels(Path(folder) / "irn/voc12/cls_labels.npy", VOC_CLASSES)
    psa = read_labels(Path(folder) / "psa/voc12/cls_labels.npy", VOC_CLASSES)
    assert len(irn) == len(psa) > 10000
    assert irn == psa
    assert irn["2007_000032"] == ("aeroplane", "person")
