"""Random walk on a grid of pixels with the affinities of IRN, without a matrix.

The papers square a dense (h·w)² transition matrix T eight times and apply T^256 to the maps. Only
its product with a few maps is needed. T has 69 entries a column at radius 5, so one step is 68
multiply-adds of shifted grids, and 256 steps need no 256 of them: T is similar to the symmetric
D^-½ W D^-½, its spectrum lies in [−1, 1], and there, with x = cos θ,

    x^n = cos^n θ = E[cos(S θ)] = Σ_j P(|S| = j) T_j(x),

where S is the end of a walk of n steps ±1 and T_j are the Chebyshev polynomials. S rarely leaves
±√n, so the terms above j ≈ 6 √n are dropped: 102 products for n = 256.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from wsss.affinity.paths import directions, path_slices
from wsss.core.errors import UserError

Array = TypeVar("Array", np.ndarray, Tensor)

# Of the spectrum: what the dropped terms may add up to. float16 files resolve 6e-8 of a map's
# maximum; small values keep their relative precision too when the bound lies well below that.
TOLERANCE = 1e-10


def random_walk(
    maps: Array, boundary: Array, *, beta: float | int = 10.0, steps: int = 256, radius: int = 5
) -> Array:
    """M = (maps ∘ (1 − boundary)) · T^steps, with maps as row vectors (Ahn et al. 2019, IRN).

    maps (K, h, w) or (B, K, h, w): class maps, finite; boundary (h, w) or (B, h, w): probability of
    a class boundary, in [0, 1]. NumPy arrays or torch tensors; the result is of the kind, shape and
    device of `maps`, float64 if `maps` is, else float32. It has no gradient and is not normalised.

    T_ij = a_ij^beta / Σ_i a_ij^beta (columns sum to 1), where a_ij = 1 − max of the boundary over
    the path between two pixels less than `radius` apart (`paths.path`), a_ii = 1, and 0 beyond.
    steps: any number ≥ 0; the published "2^8" is 256.

    Computed in float64; what the dropped terms change is some 1e-10 of the largest value. CUDA
    tensors stay on their device, where a batch shares its kernel launches.
    Raises UserError on other arrays, mismatched shapes, values out of range or NaN.
    """
    steps, radius = _whole("steps", steps), _whole("radius", radius)
    _check(maps, boundary, beta, steps, radius)
    with torch.no_grad():
        k, h, w = maps.shape[-3:]
        on_cuda = isinstance(maps, Tensor) and maps.is_cuda
        device = maps.device if on_cuda else torch.device("cpu")
        b = _double(boundary, device).reshape(-1, h, w)
        x = _double(maps, device).reshape(len(b), k, h, w) * (1 - b)[:, None]
        moved = _power(Transition(b, beta, radius), x.flatten(2), steps)
        if (x >= 0).all():
            moved.clamp_(min=0)  # rounding leaves −1e-17 where exact values are 0
        dtype = torch.float64 if str(maps.dtype).endswith("float64") else torch.float32
        moved = moved.reshape(maps.shape).to(dtype)
    return moved.numpy() if isinstance(maps, np.ndarray) else moved.to(maps.device)


def _double(array: Array, device: torch.device) -> Float64[Tensor, "*shape"]:
    if isinstance(array, np.ndarray):
        array = torch.from_numpy(np.array(array, np.float64))  # a copy: any strides, writable
    return array.to(device).double()


class Transition:
    """S = D^-½ W D^-½ with W = a^beta and its column sums D; T^n = D^½ S^n D^-½.

    Grids of h × w pixels are flattened: a displacement is a shift.
    """

    def __init__(self, boundary: Float64[Tensor, "b h w"], beta: float | int, radius: int):
        batch, h, w = boundary.shape
        near = [(y, x) for y, x in directions(radius) if y < h and abs(x) < w]
        self.shifts = [y * w + x for y, x in near]
        # Zero where a pair would leave the grid or wrap around to the next row.
        weights = boundary.new_zeros(len(near), batch, h, w)
        for weight, (y, x) in zip(weights, near, strict=True):
            left, size = max(0, -x), (h - y, w - abs(x))
            blocked = torch.stack(path_slices(boundary, (y, x), (0, left), size)).amax(0)
            weight[:, : size[0], left : left + size[1]] = (1 - blocked).pow(beta)
        self.weights = weights.reshape(len(near), batch, 1, h * w)
        self.diagonal = boundary.new_ones(batch, 1, h * w)
        sums = torch.zeros_like(self.diagonal)
        self.adder(self.diagonal, sums)(1)
        self.root = sums.sqrt()
        for weight, shift in zip(self.weights, self.shifts, strict=True):
            n = h * w - shift
            weight[..., :n].div_(self.root[..., :n]).div_(self.root[..., shift:])
        self.diagonal = 1 / sums

    def adder(
        self, x: Float64[Tensor, "b k n"], total: Float64[Tensor, "b k n"]
    ) -> Callable[[int], None]:
        """A function of m that adds m · x·S to `total` in place.

        Made once for two buffers: taking a slice costs a third of the arithmetic on it.
        """
        size = x.shape[-1]
        parts = [(total, x, self.diagonal)]
        for weight, shift in zip(self.weights, self.shifts, strict=True):
            n = size - shift
            parts.append((total[..., :n], x[..., shift:], weight[..., :n]))
            parts.append((total[..., shift:], x[..., :n], weight[..., :n]))

        def add(times: int) -> None:
            for target, source, weight in parts:
                target.addcmul_(source, weight, value=times)

        return add


def _power(
    transition: Transition, x: Float64[Tensor, "b k n"], steps: int
) -> Float64[Tensor, "b k n"]:
    """x · T^steps."""
    now = x * transition.root
    then = torch.zeros_like(now)
    ahead, back = transition.adder(now, then), transition.adder(then, now)
    share = chebyshev_power(steps, TOLERANCE)
    if len(share) > steps:
        for _ in range(steps):
            then.zero_()
            ahead(1)
            now, then, ahead, back = then, now, back, ahead
        return now / transition.root
    ahead(1)
    total = share[0] * now + share[1] * then
    for c in share[2:]:
        # T_{j+1} = 2 S T_j − T_{j−1}, written over T_{j−1}.
        now.neg_()
        back(2)
        now, then, ahead, back = then, now, back, ahead
        if c:
            total.add_(then, alpha=c)
    return total / transition.root


def chebyshev_power(steps: int, tolerance: float) -> list[float]:
    """c with |x^steps − Σ_j c_j T_j(x)| ≤ 2·tolerance on [−1, 1], as short as that allows.

    c_j = P(|S| = j) for a walk S of `steps` steps ±1, without the tail of probability `tolerance`;
    scaled to sum to 1, so that 1^steps = 1.
    """
    j = np.arange(steps % 2, steps + 1, 2)
    up = (steps + j) // 2
    # Ratios of neighbouring binomials: no factorial, no overflow.
    share = np.cumprod(np.concatenate([[1.0], (steps - up[:-1]) / (up[:-1] + 1)]))
    share[j > 0] *= 2
    tail = np.cumsum(share[::-1])[::-1] / share.sum()
    share = share[tail > tolerance]
    c = np.zeros(steps % 2 + 2 * len(share) - 1)
    c[steps % 2 :: 2] = share / share.sum()
    return c.tolist()


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"random walk: {name} is {value!r}; give a whole number") from None


def _check(maps: Array, boundary: Array, beta: float | int, steps: int, radius: int) -> None:
    for name, array in (("maps", maps), ("boundary", boundary)):
        if not isinstance(array, np.ndarray | Tensor):
            raise UserError(
                f"random walk: {name} are of type {type(array).__name__}; give a NumPy array or a "
                "torch tensor"
            )
    if not isinstance(beta, float | int | np.floating | np.integer):
        raise UserError(f"random walk: beta is {beta!r}; give a number above 0")
    if maps.ndim not in (3, 4) or boundary.ndim != maps.ndim - 1 or 0 in boundary.shape:
        reason = "expected (K, h, w) and (h, w), or (B, K, h, w) and (B, h, w)"
    elif (*maps.shape[:-3], *maps.shape[-2:]) != tuple(boundary.shape):
        reason = "resize one to the other's grid"
    else:
        reason = ""
    if reason:
        raise UserError(
            f"random walk: maps {tuple(maps.shape)} and boundary {tuple(boundary.shape)}: {reason}"
        )
    if not beta > 0 or not np.isfinite(beta):
        raise UserError(f"random walk: beta is {beta}; give a number above 0")
    if steps < 0:
        raise UserError(f"random walk: steps is {steps}; give 0 or more")
    if radius < 2:
        raise UserError(f"random walk: radius is {radius}, without neighbours; give 2 or more")
    if not bool(((boundary >= 0) & (boundary <= 1)).all()):  # also false for NaN
        raise UserError("random walk: boundary is NaN or outside [0, 1]; give probabilities")
    if not bool((abs(maps) < np.inf).all()):
        raise UserError("random walk: maps hold NaN or infinite values; make the maps again")
