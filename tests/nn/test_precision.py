import pytest
import torch

from wsss.nn import precision
from wsss.nn.precision import autocast, has_bfloat16, usable_precision


@pytest.fixture(autouse=True)
def forget():
    has_bfloat16.cache_clear()
    usable_precision.cache_clear()
    yield
    has_bfloat16.cache_clear()
    usable_precision.cache_clear()


def with_instructions(monkeypatch, *names):
    capabilities = dict.fromkeys(("avx2", *names), True) | {"amx_fp16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize("instruction", ["amx_bf16", "avx512_bf16"])
def test_a_processor_with_bfloat16_uses_it(monkeypatch, instruction):
    with_instructions(monkeypatch, instruction)
    assert usable_precision("bf16", "cpu") == "bf16"
    with autocast("bf16", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_without_them_it_is_float32_and_said_once(monkeypatch):
    with_instructions(monkeypatch)
    lines = []
    monkeypatch.setattr(precision.log, "info", lambda text, *values: lines.append(text % values))
    for _ in range(3):
        assert usable_precision("bf16", "cpu") == "32"
        with autocast("bf16", "cpu"):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert lines == ["this cpu has no bfloat16 instructions: computing in float32"]


def test_float32_stays_float32_everywhere(monkeypatch):
    with_instructions(monkeypatch, "amx_bf16")
    assert usable_precision("32", "cpu") == usable_precision("32", "mps") == "32"
