"""Mean-field inference in a fully connected CRF, by pydensecrf's permutohedral lattice."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydensecrf.densecrf as densecrf
from jaxtyping import Float, Float32, UInt8
from pydantic import ValidationError

from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean, error_lines
from wsss.crf.pairwise import Pairwise
from wsss.crf.presets import PRESETS

HINT = "RGB of 0 to 255, uint8 (H, W, 3)"


class ImageCrf:
    """The dense CRF of one image, for any number of unaries with the same number of labels.

    Building the two lattices costs about as much as several mean-field steps, so that whoever has
    two unaries for an image should share one object (benchmarks/crf.py measures it). The result is
    the same, bit for bit.

    image: RGB, uint8. UserError for any other image, and for fewer than one label.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"], pairwise: Pairwise, num_labels: int):
        _check_image(image)
        height, width = image.shape[:2]
        if num_labels < 1 or not height or not width:
            raise UserError(f"dense CRF of {num_labels} labels on {height}x{width} pixels: no work")
        self.shape = (num_labels, height, width)
        if num_labels == 1:
            return
        image = np.require(image, requirements=["C", "W"])  # Cython's buffers want both
        # Left to pydensecrf's defaults, which are the published ones: normalised symmetrically.
        self._crf = densecrf.DenseCRF2D(width, height, num_labels)
        gaussian, bilateral = pairwise.gaussian, pairwise.bilateral
        self._crf.addPairwiseGaussian(sxy=gaussian.sxy, compat=gaussian.compat)
        self._crf.addPairwiseBilateral(
            sxy=bilateral.sxy, srgb=bilateral.srgb, rgbim=image, compat=bilateral.compat
        )

    def infer(
        self, unary: Float[np.ndarray, "labels h w"], steps: int
    ) -> Float32[np.ndarray, "labels h w"]:
        """Label probabilities after `steps` mean-field iterations; they sum to 1 over the labels.

        Raises UserError where the unary has another shape than (labels, H, W) of the image, or
        holds NaN or infinite energies.
        """
        _check_floats(unary)
        if unary.shape != self.shape:
            raise UserError(f"unary of shape {unary.shape}, but the image needs {self.shape}")
        if not np.isfinite(unary).all():
            raise UserError("the unary holds NaN or infinite energies; clip its probabilities")
        try:
            steps = operator.index(steps)
        except TypeError:
            raise UserError(f"{steps!r} mean-field steps: give a whole number") from None
        if steps < 0:
            raise UserError(f"{steps} mean-field steps: give 0 or more")
        if self.shape[0] == 1:
            return np.ones(self.shape, np.float32)
        self._crf.setUnaryEnergy(np.require(unary, np.float32, "C").reshape(self.shape[0], -1))
        return np.array(self._crf.inference(steps), np.float32).reshape(self.shape)


def mean_field(
    image: UInt8[np.ndarray, "h w 3"],
    unary: Float[np.ndarray, "labels h w"],
    *,
    preset: str | None = None,
    pairwise: Pairwise | Mapping[str, Any] | None = None,
    steps: int,
) -> Float32[np.ndarray, "labels h w"]:
    """Label probabilities of a dense CRF (Krähenbühl and Koltun, arXiv 1210.5644).

    Q = softmax(-U), then `steps` times Q = softmax(-U + Σ_m w_m K̃_m Q) with the symmetrically
    normalised kernels K̃ = D^-½ K D^-½, D = ΣK. `image` is RGB, `unary` holds energies (-log
    probabilities). Exactly one of `preset` (a name in PRESETS) and `pairwise`, a `Pairwise` or a
    dict of its keys. Raises UserError for an unknown preset, a wrong key or number of the pairwise
    term, and what `ImageCrf` refuses.
    """
    if (preset is None) == (pairwise is None):
        raise UserError("mean_field: give either preset or pairwise")
    if pairwise is None:
        if preset not in PRESETS:
            raise UserError(f"no CRF preset '{preset}'{did_you_mean(preset, list(PRESETS))}")
        pairwise = PRESETS[preset]
    _check_floats(unary)
    return ImageCrf(image, _pairwise(pairwise), unary.shape[0]).infer(unary, steps)


def _pairwise(given: Any) -> Pairwise:
    if isinstance(given, Pairwise):
        return given
    if not isinstance(given, Mapping):
        raise UserError(
            f"pairwise is of type {type(given).__name__}; give a Pairwise, or a dict of its keys"
        )
    try:
        return Pairwise.model_validate(dict(given))
    except ValidationError as error:
        lines = [f"pairwise: {line}" for _, line in error_lines(error, Pairwise)]
        raise UserError("\n".join(lines)) from None


def _check_image(image: Any) -> None:
    """Said here, not by Cython, whose errors name buffers."""
    if not isinstance(image, np.ndarray):
        raise UserError(f"the image is of type {type(image).__name__}; give a NumPy array, {HINT}")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        remedy = "stack the grey channel three times"
    elif image.ndim == 3 and image.shape[2] == 4:
        remedy = "drop the alpha channel, image[..., :3]"
    elif image.ndim == 3 and image.shape[2] != 3 and image.shape[0] in (1, 3, 4):
        remedy = "channels last, image.transpose(1, 2, 0)"
    elif image.ndim == 3 and image.shape[2] == 3:
        remedy = "round values of 0 to 255 and .astype(np.uint8); scale values of 0 to 1 by 255"
    else:
        remedy = "convert it"
    raise UserError(f"image of shape {image.shape}, {image.dtype}: {remedy}; needed is {HINT}")


def _check_floats(unary: Any) -> None:
    if not isinstance(unary, np.ndarray) or unary.ndim != 3 or unary.dtype.kind != "f":
        message = f"of type {type(unary).__name__}"
        if isinstance(unary, np.ndarray):
            message = f"of shape {unary.shape}, {unary.dtype}"
        raise UserError(
            f"the unary is {message}; give a NumPy array of energies, float (labels, H, W)"
        )
