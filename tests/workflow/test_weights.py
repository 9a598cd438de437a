import hashlib
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from wsss.commands.weights import download
from wsss.core.errors import UserError

MODEL = "resnet18.a1_in1k"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one file whose checksum can be made wrong."""
    blob = tmp_path / "cached.safetensors"
    blob.write_bytes(b"weights")
    state = SimpleNamespace(etag=hashlib.sha256(b"weights").hexdigest(), blob=blob, asked=[])

    def fetch(repository, name):
        state.asked.append((repository, name))
        return str(blob)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda url: SimpleNamespace(etag=state.etag)
    )
    return state


def test_weights_are_fetched_once_and_checked(hub, tmp_path):
    out = tmp_path / "weights" / "w.safetensors"
    download(MODEL, out)
    assert out.read_bytes() == b"weights"
    assert hub.asked == [("timm/resnet18.a1_in1k", "model.safetensors")]


def test_a_wrong_checksum_leaves_nothing(hub, tmp_path):
    hub.etag = "0" * 64
    with pytest.raises(UserError, match="checksum"):
        download(MODEL, tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()
    assert not hub.blob.exists()  # a damaged cache must not be met again


def test_an_unknown_model_is_told(tmp_path):
    with pytest.raises(UserError, match="timm has no weights 'resnet18x'"):
        download("resnet18x", tmp_path / "w.safetensors")


def test_without_network_the_remedy_is_told(hub, tmp_path, monkeypatch):
    def refuse(url):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(UserError, match="machine with network access, or give a local path"):
        download(MODEL, tmp_path / "w.safetensors")
