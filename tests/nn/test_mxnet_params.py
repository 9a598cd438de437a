import logging
import re
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch

from wsss.core.errors import UserError
from wsss.nn.backbones import build_trunk, load_weights
from wsss.nn.mxnet_params import read_params, wide_resnet38_names
from wsss.nn.recipe import Backbone
from wsss.nn.wide_resnet38 import Block, WideResNet38

FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
MAGIC = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}


def array_bytes(array, version):
    """An NDArray as MXNet's NDArray::Save of that version writes it (0: before versions)."""
    if version == 0:
        head = struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    else:
        head = struct.pack("<I", MAGIC[version])
        if version >= 2:
            head += struct.pack("<i", 0)  # dense
        head += struct.pack("<i", array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
    gpu_3 = struct.pack("<ii", 2, 3)
    return head + gpu_3 + struct.pack("<i", FLAGS[str(array.dtype)]) + array.tobytes()


def file_bytes(arrays, version=0):
    """MXNet's list file: kMXAPINDArrayListMagic, reserved, the arrays, the names."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    out += b"".join(array_bytes(a, version) for a in arrays.values())
    out += struct.pack("<Q", len(arrays))
    return out + b"".join(struct.pack("<Q", len(n)) + n.encode() for n in arrays)


ARRAYS = {
    "arg:conv1a_weight": np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1),
    "aux:bn7_moving_var": np.array([0.5, 2], np.float32),
}


def test_a_file_spelled_out_byte_by_byte(tmp_path):
    content = bytes.fromhex(
        "1201000000000000" "0000000000000000"  # list magic, reserved
        "0100000000000000"  # one array
        "02000000" "01000000" "02000000"  # two dimensions: 1 × 2
        "02000000" "03000000" "00000000"  # GPU 3, float32
        "0000803f" "000020c0"  # 1, -2.5
        "0100000000000000"  # one name
        "0500000000000000" "6172673a78"  # arg:x
    )  # fmt: skip
    (tmp_path / "w.params").write_bytes(content)
    assert file_bytes({"arg:x": np.array([[1, -2.5]], np.float32)}) == content
    read = read_params(tmp_path / "w.params")
    assert list(read) == ["arg:x"]
    assert torch.equal(read["arg:x"], torch.tensor([[1, -2.5]]))


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", FLAGS)
def test_every_version_and_element_type(tmp_path, version, dtype):
    arrays = {name: a.astype(dtype) for name, a in ARRAYS.items()}
    (tmp_path / "w.params").write_bytes(file_bytes(arrays, version))
    read = read_params(tmp_path / "w.params")
    assert list(read) == list(arrays)
    for name, value in read.items():
        assert value.dtype == getattr(torch, dtype)
        assert np.array_equal(value.numpy(), arrays[name])


@pytest.mark.parametrize("version", [0, 2])
def test_every_cut_is_noticed(tmp_path, version):
    path = tmp_path / "w.params"
    whole = file_bytes(ARRAYS, version)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"w\.params: (damaged|no MXNet)") as error:
            read_params(path)
        assert "\n" not in str(error.value)


def changed(position, value):
    out = bytearray(file_bytes(ARRAYS, 2))
    out[position : position + len(value)] = value
    return bytes(out)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "no MXNet .params file"),
        (b"PK\x03\x04 a zip archive, as torch.save writes it", "no MXNet .params file"),
        (changed(24, b"\x99\x99\x99\x99"), "an array of 2576980377 dimensions"),
        (changed(28, b"\x01\0\0\0"), "storage type 1: only dense arrays are read"),
        (changed(32, b"\0\0\0\0"), "an array of 0 dimensions"),
        (changed(36, b"\xff\xff\xff\xff\xff\xff\xff\x7f"), "cut short in an array of 9223372036"),
        (changed(36, b"\xff\xff\xff\xff\xff\xff\xff\xff"), "cut short in an array of -1×3×1×1"),
        (changed(76, b"\x07\0\0\0"), "element type 7 is unknown"),
        (file_bytes(ARRAYS, 2) + b"more", "4 bytes after the last name"),
        (file_bytes({"x": np.ones(1, np.float32)})[:-17] + bytes(8), "1 arrays but 0 names"),
    ],
)
def test_foreign_and_damaged_files_are_one_line(tmp_path, content, line):
    (tmp_path / "w.params").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(line)) as error:
        load_weights(torch.nn.Identity(), tmp_path / "w.params")
    assert str(error.value).startswith(f"{tmp_path}/w.params: ") and "\n" not in str(error.value)


def published_names():
    """The names in the published file, as the network's definition for MXNet makes them."""
    blocks = ["2a", "2b1", "2b2", "3a", "3b1", "3b2"]
    blocks += ["4a", *(f"4b{i}" for i in range(1, 6)), "5a", "5b1", "5b2", "6a", "7a"]
    layers = ["conv1a", "linear1000", "bn7"]
    for block in blocks:
        parts = ["branch2a", "branch2b1"] + ["branch2b2"] * (block in ("6a", "7a"))
        layers += [f"{kind}{block}_{part}" for kind in ("bn", "res") for part in parts]
        layers += [f"res{block}_branch1"] * block.endswith("a")
    for layer in layers:
        if layer.startswith("bn"):
            yield from (f"arg:{layer}_{v}" for v in ("gamma", "beta"))
            yield from (f"aux:{layer}_{v}" for v in ("moving_mean", "moving_var"))
        else:
            yield f"arg:{layer}_weight"
    yield "arg:linear1000_bias"


@pytest.mark.parametrize("prefixed", [True, False])
def test_the_published_names_are_those_of_the_network(prefixed):
    names = [n if prefixed else n.partition(":")[2] for n in published_names()]
    mapped = wide_resnet38_names({name: torch.empty(0) for name in names})
    with torch.device("meta"):
        state = build_trunk(Backbone(name="wide_resnet38", output_stride=8)).state_dict()
    own = {key for key in state if not key.endswith("num_batches_tracked")}
    assert set(mapped) - own == {"linear1000_weight", "linear1000_bias"}
    assert own <= set(mapped) and len(mapped) == len(names)


@pytest.mark.parametrize(
    ("mxnet", "ours"),
    [
        ("arg:conv1a_weight", "conv1a.weight"),
        ("arg:res2a_branch1_weight", "b2.conv_branch1.weight"),
        ("arg:res2a_branch2a_weight", "b2.conv_branch2a.weight"),
        ("arg:bn2a_branch2a_gamma", "b2.bn_branch2a.weight"),
        ("arg:bn4b5_branch2b1_beta", "b4_5.bn_branch2b1.bias"),
        ("aux:bn6a_branch2b2_moving_mean", "b6.bn_branch2b2.running_mean"),
        ("aux:bn7a_branch2a_moving_var", "b7.bn_branch2a.running_var"),
        ("aux:bn7_moving_var", "bn7.running_var"),
    ],
)
def test_names_by_example(mxnet, ours):
    assert list(wide_resnet38_names({mxnet: torch.empty(0)})) == [ours]


@pytest.mark.parametrize("version", [0, 2])
def test_loading_the_first_block_and_the_last_norm(tmp_path, caplog, version):
    """Two parts of the network: all of it would be a file of half a gigabyte."""
    network = torch.nn.Sequential(
        OrderedDict(b2=Block(64, 128, 128, stride=2), bn7=torch.nn.BatchNorm2d(16))
    )
    rng = np.random.default_rng(0)

    def values(*shape):
        return rng.random(shape, dtype=np.float32)

    arrays = {
        "arg:bn2a_branch2a_gamma": values(64),
        "arg:bn2a_branch2a_beta": values(64),
        "aux:bn2a_branch2a_moving_mean": values(64),
        "aux:bn2a_branch2a_moving_var": values(64),
        "arg:res2a_branch2a_weight": values(128, 64, 3, 3),
        "arg:bn2a_branch2b1_gamma": values(128),
        "arg:bn2a_branch2b1_beta": values(128),
        "aux:bn2a_branch2b1_moving_mean": values(128),
        "aux:bn2a_branch2b1_moving_var": values(128),
        "arg:res2a_branch2b1_weight": values(128, 128, 3, 3),
        "arg:res2a_branch1_weight": values(128, 64, 1, 1),
        "arg:bn7_gamma": values(16),
        "arg:bn7_beta": values(16),
        "aux:bn7_moving_mean": values(16),
        "aux:bn7_moving_var": values(16),
        "arg:linear1000_weight": values(10, 16),
    }
    path = tmp_path / "w.params"
    path.write_bytes(file_bytes(arrays, version))
    with caplog.at_level(logging.INFO, logger="wsss"):
        load_weights(network, path)
    assert "not used: linear1000_weight" in caplog.text
    pairs = [
        (network.b2.conv_branch2a.weight, "arg:res2a_branch2a_weight"),
        (network.b2.conv_branch1.weight, "arg:res2a_branch1_weight"),
        (network.b2.bn_branch2b1.weight, "arg:bn2a_branch2b1_gamma"),
        (network.b2.bn_branch2b1.bias, "arg:bn2a_branch2b1_beta"),
        (network.b2.bn_branch2b1.running_mean, "aux:bn2a_branch2b1_moving_mean"),
        (network.bn7.running_var, "aux:bn7_moving_var"),
    ]
    for tensor, name in pairs:
        assert np.array_equal(tensor.detach().numpy(), arrays[name])

    del arrays["arg:bn7_beta"]
    path.write_bytes(file_bytes(arrays, version))
    with pytest.raises(UserError, match=r"1 of \d+ weights of the network are missing.*'bn7.bias'"):
        load_weights(network, path)


def test_a_whole_network_names_what_a_part_of_the_file_lacks(tmp_path):
    with torch.device("meta"):
        network = WideResNet38()
    (tmp_path / "w.params").write_bytes(
        file_bytes({"arg:conv1a_weight": ARRAYS["arg:conv1a_weight"]})
    )
    with pytest.raises(UserError, match=r"of the network are missing, e\.g\. 'b2\.bn_branch2a"):
        load_weights(network, tmp_path / "w.params")
