"""Running a network so that what its backward pass carries is relevance, not gradients.

Every operation that torch runs on what depends on the images is seen, whether a module or a
function does it, in place or not. So residual additions need no module of their own, and a
BatchNorm finds the convolution before it without a trace of the network. Operations without a rule
are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from wsss.attribution.lrp import rules as lrp_rules
from wsss.attribution.lrp.rules import Affine, Back, Rule
from wsss.core.errors import UserError

# Outputs are copies of inputs, or the largest of some: relevance goes where the gradient would.
_COPIES = frozenset(
    "adaptive_max_pool2d cat chunk clone concat concatenate contiguous double expand flatten flip "
    "float __getitem__ max_pool2d narrow pad permute pixel_shuffle pixel_unshuffle reshape roll "
    "split squeeze stack to transpose unbind unflatten unsqueeze view".split()
)
_POOLS = frozenset({"adaptive_avg_pool2d", "avg_pool2d", "mean"})
# f(z)/z is bounded for all of them, so that what was divided by f(z) above may be by z below.
_ACTIVATIONS = frozenset("elu gelu hardswish hardtanh leaky_relu mish relu relu6 silu tanh".split())
_DROPOUTS = frozenset({"dropout", "dropout2d", "alpha_dropout", "feature_dropout"})
_GATES = frozenset({"sigmoid", "hardsigmoid"})


class Composite(NamedTuple):
    """Which rule is for which layer; first: for convolutions of the images, None as for others."""

    linear: Rule
    convolution: Rule
    first: Rule | None = None


class Propagation(TorchFunctionMode):
    """While entered, a network's forward pass on `images` makes a graph that carries relevance.

    images: they require gradients; nothing else does but what is made of them. The results are the
    network's own. `torch.autograd.grad(logits, images, R)` is then the images' relevance for the
    relevance R of the logits, as often as wanted with `retain_graph`.

    | operation | relevance |
    |---|---|
    | convolution, linear | the composite's rule, of (layer and BatchNorm) where one follows |
    | BatchNorm after anything else | the composite's rule for linear layers |
    | + | in proportion to the summands; constants keep theirs |
    | average pooling, mean | in proportion to the summands |
    | max pooling | to the largest; where windows overlap, what a pixel gets from each is added |
    | ReLU, ReLU6, leaky ReLU, ELU, SiLU, GELU, Hardswish, Hardtanh, Mish, tanh | passed on |
    | dropout (off), reshaping, concatenation, padding, … | follows the numbers |
    | × a constant; × σ(…) or a hard σ, as in squeeze-and-excitation | all to the signal |

    Raises UserError, with the module's name, for any other operation; for BatchNorm in training
    mode; for products of two signals, and sigmoids that are not a factor; and where a tensor is
    used after an operation in place.
    """

    def __init__(self, network: nn.Module, images: Float[Tensor, "b 3 H W"], composite: Composite):
        super().__init__()
        self.composite = composite
        self.first_seen = False
        self._network = network
        self._inside: list[tuple[str, nn.Module]] = []
        self._images = WeakTensorKeyDictionary({images: True})
        self._affine = WeakTensorKeyDictionary()  # an output to its layer, input and rule
        self._gates = WeakTensorKeyDictionary()
        self._overwritten = WeakTensorKeyDictionary()

    def run(self, *inputs: Tensor, of: Callable[..., Any]) -> Any:
        """of(*inputs), a method of the network, or the network itself."""
        with _following(self._network, self._inside), self:
            return of(*inputs)

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors([*args, *kwargs.values()]))
        signals = [tensor for tensor in tensors if tensor.requires_grad]
        gates = [tensor for tensor in tensors if tensor in self._gates]
        if not signals and not gates:
            return func(*args, **kwargs)
        name = _name(func)
        if any(signal in self._overwritten for signal in signals):
            self._refuse(f"{name}, of a tensor that was overwritten in place")
        if name in _COPIES:
            return self._copy(func, args, kwargs, signals, gates)
        if gates and name != "mul":
            self._refuse_unless_about(func, args, kwargs, f"{name} of a sigmoid")
        handler = self._handler(name)
        if handler is None:
            return self._refuse_unless_about(func, args, kwargs, name)
        return handler(func, *args, **kwargs)

    def linear(
        self, func: Callable, x: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """A linear layer: the composite's rule."""
        if not x.requires_grad or weight.requires_grad:
            self._refuse("linear with a weight that depends on the images")
        layer = lrp_rules.linear(weight, bias)
        return self._layer(func(x.detach(), weight, bias), layer, x, self.composite.linear)

    def pool(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A pooling that is linear in x: shares in proportion to the summands."""

        def pool(x: Tensor) -> Tensor:
            return func(x, *args, **kwargs)

        value = x.detach()
        return _carry(pool(value), (x, _once(lambda: lrp_rules.norm(pool, value))))

    def _handler(self, name: str) -> Callable[..., Any] | None:
        if name in _ACTIVATIONS:
            return self._pass
        if name in _POOLS:
            return self.pool
        if name in _GATES:
            return self._gate
        if name in _DROPOUTS:
            return self._dropout
        return {
            "conv2d": self._convolution,
            "linear": self.linear,
            "batch_norm": self._batch_norm,
            "add": self._add,
            "mul": self._multiply,
            "div": self._divide,
        }.get(name)

    def _layer(self, value: Tensor, layer: Affine, x: Tensor, rule: Rule) -> Tensor:
        at = x.detach()
        out = _carry(value, (x, _once(lambda: rule(layer, at, value))))
        self._affine[out] = (layer, x, rule)
        return out

    def _convolution(
        self,
        func: Callable,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        if not x.requires_grad or weight.requires_grad:
            self._refuse("conv2d with a weight that depends on the images")
        value = func(x.detach(), weight, bias, stride, padding, dilation, groups)
        if isinstance(padding, str):
            padding = self._padding(padding, weight, dilation)
        layer = lrp_rules.convolution(weight, bias, stride, padding, dilation, groups)
        rule = self.composite.convolution
        if x in self._images:
            self.first_seen = True
            rule = self.composite.first or rule
        return self._layer(value, layer, x, rule)

    def _padding(self, padding: str, weight: Tensor, dilation: Any) -> list[int]:
        dilation = (dilation, dilation) if isinstance(dilation, int) else dilation
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if padding == "same" and any(t % 2 for t in total):
            self._refuse("conv2d with more padding on one side")
        return [t // 2 if padding == "same" else 0 for t in total]

    def _batch_norm(
        self,
        func: Callable,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if training or running_mean is None or running_var is None:
            self._refuse("batch_norm with the batch's own statistics, as in training mode")
        value = func(x.detach(), running_mean, running_var, weight, bias, False, momentum, eps)
        factor = torch.rsqrt(running_var + eps)
        factor = factor if weight is None else factor * weight
        shift = -running_mean * factor
        shift = shift if bias is None else shift + bias
        if x in self._affine:
            layer, before, rule = self._affine[x]
            return self._layer(value, lrp_rules.rescale_layer(layer, factor, shift), before, rule)
        channels = (-1, *[1] * (x.ndim - 2))
        layer = lrp_rules.scaling(factor.view(channels), shift.view(channels))
        at, rule = x.detach(), self.composite.linear
        return _carry(value, (x, _once(lambda: rule(layer, at, value))))

    def _add(self, func: Callable, x: Any, y: Any, **kwargs: Any) -> Tensor:
        if kwargs:
            self._refuse("add with " + ", ".join(kwargs))
        value = self._run_on_copy(func, x, y)
        signals = [term for term in (x, y) if isinstance(term, Tensor) and term.requires_grad]
        backs = [(term, lrp_rules.addend(term.detach(), value)) for term in signals]
        return _carry(value, *backs)

    def _multiply(self, func: Callable, x: Any, y: Any) -> Tensor:
        signals = [f for f in (x, y) if isinstance(f, Tensor) and f.requires_grad]
        if len(signals) != 1:
            reason = "two that depend on the images" if signals else "two sigmoids"
            self._refuse(f"mul of {reason}")
        (signal,) = signals
        return _carry(
            self._run_on_copy(func, x, y), (signal, lambda r: r.sum_to_size(signal.shape))
        )

    def _divide(self, func: Callable, x: Any, y: Any) -> Tensor:
        if isinstance(y, Tensor) and y.requires_grad:
            self._refuse("div by what depends on the images")
        return _carry(self._run_on_copy(func, x, y), (x, lambda r: r.sum_to_size(x.shape)))

    def _pass(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return _carry(self._run_on_copy(func, x, *args, **kwargs), (x, lambda r: r))

    def _gate(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        value = self._run_on_copy(func, x, *args, **kwargs)
        self._gates[value] = True
        return value

    def _dropout(
        self,
        func: Callable,
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if training:
            self._refuse("dropout in training mode")
        return x

    def _copy(
        self, func: Callable, args: Any, kwargs: dict, signals: list[Tensor], gates: list[Tensor]
    ) -> Any:
        if signals and gates:
            self._refuse(f"{_name(func)} of a sigmoid and a signal")
        out = func(*args, **kwargs)
        for tensor in _tensors([out]):
            if gates:
                self._gates[tensor] = True
            elif len(signals) == 1 and signals[0] in self._images:
                self._images[tensor] = True
        return out

    def _run_on_copy(self, func: Callable, x: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The result, of a copy of x: rules below need the numbers that x had."""
        with torch.no_grad():
            copy = x.clone() if isinstance(x, Tensor) else x
            value = func(copy, *args, **kwargs)
        if value is copy:
            self._overwritten[x] = True
        return value

    def _refuse_unless_about(self, func: Callable, args: Any, kwargs: dict, what: str) -> Any:
        """What an operation says about a tensor, such as its shape; UserError if it is one."""
        with torch.no_grad():
            out = func(*args, **kwargs)
        if any(True for _ in _tensors([out])):
            self._refuse(what)
        return out

    def _refuse(self, what: str) -> NoReturn:
        name, module = self._inside[-1] if self._inside else ("", self._network)
        place = f"'{name}' ({type(module).__name__})" if name else type(module).__name__
        raise UserError(
            f"lrp: no rule for {what} in {place}; choose a convolutional network with BatchNorm in "
            "evaluation mode, or a method without rules, such as grad-cam"
        )


class _Carry(torch.autograd.Function):
    """A value whose backward pass is given."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, backs: Sequence[Back], *inputs: Tensor) -> Tensor:
        ctx.backs = backs
        return value

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(back(relevance) for back in ctx.backs)


def _carry(value: Tensor, *ways: tuple[Tensor, Back]) -> Tensor:
    inputs, backs = zip(*ways, strict=True)
    return _Carry.apply(value, backs, *inputs)


def _once(make: Callable[[], Back]) -> Back:
    """A back that is made when the first relevance comes: layers that get none cost nothing."""
    made: list[Back] = []

    def back(relevance: Tensor) -> Tensor:
        if not made:
            made.append(make())
        return made[0](relevance)

    return back


def _name(func: Callable) -> str:
    """relu for torch.nn.functional.relu_, add for torch.Tensor.add_; shape for its getter."""
    name = (resolve_name(func) or getattr(func, "__name__", repr(func))).removesuffix(".__get__")
    last = name.rsplit(".", 1)[-1]
    return last if last.startswith("__") else last.rstrip("_")


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


@contextmanager
def _following(network: nn.Module, inside: list[tuple[str, nn.Module]]) -> Iterator[None]:
    """Keep in `inside` the modules whose forward runs, the innermost last."""

    def leave(*_: Any) -> None:
        inside.pop()

    handles = []
    for name, module in network.named_modules():
        entry = (name, module)
        handles.append(
            module.register_forward_pre_hook(lambda *_, entry=entry: inside.append(entry))
        )
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
