"""Mean-field inference in a fully connected CRF, by pydensecrf's permutohedral lattice."""

from __future__ import annotations

import numpy as np
import pydensecrf.densecrf as densecrf
from jaxtyping import Float, Float32, UInt8

from wsss.core.errors import UserError
from wsss.core.recipe import did_you_mean
from wsss.crf.pairwise import Pairwise
from wsss.crf.presets import PRESETS


class ImageCrf:
    """The dense CRF of one image, for any number of unaries with the same number of labels.

    Building the two lattices costs about as much as several mean-field steps, so that whoever has
    two unaries for an image should share one object (benchmarks/crf.py measures it). The result is
    the same, bit for bit.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"], pairwise: Pairwise, num_labels: int):
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
        if unary.shape != self.shape:
            raise UserError(f"unary of shape {unary.shape}, but the image needs {self.shape}")
        if not np.isfinite(unary).all():
            raise UserError("the unary holds NaN or infinite energies; clip its probabilities")
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
    pairwise: Pairwise | None = None,
    steps: int,
) -> Float32[np.ndarray, "labels h w"]:
    """Label probabilities of a dense CRF (Krähenbühl and Koltun, arXiv 1210.5644).

    Q = softmax(-U), then `steps` times Q = softmax(-U + Σ_m w_m K̃_m Q) with the symmetrically
    normalised kernels K̃ = D^-½ K D^-½, D = ΣK. `image` is RGB, `unary` holds energies (-log
    probabilities). Exactly one of `preset` (a name in PRESETS) and `pairwise`. Raises UserError for
    an unknown preset and what `ImageCrf` refuses.
    """
    if (preset is None) == (pairwise is None):
        raise UserError("mean_field: give either preset or pairwise")
    if pairwise is None:
        if preset not in PRESETS:
            raise UserError(f"no CRF preset '{preset}'{did_you_mean(preset, list(PRESETS))}")
        pairwise = PRESETS[preset]
    return ImageCrf(image, pairwise, len(unary)).infer(unary, steps)
