"""What the thresholds of a map are shares of: its maximum (MaS) or a percentile (PaS)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Num


def threshold_reference(
    scores: Num[np.ndarray, "h w"], percentiles: Sequence[float | int]
) -> Float64[np.ndarray, " p"]:
    """The values at these percentiles of all positions, interpolated linearly.

    percentiles: in [0, 100]. 100 is the maximum (MaS), a lower one is PaS (Bae, Noh and Kim 2020).
    A threshold is a share of such a value. Give scores at the resolution at which they are cut.
    """
    return np.percentile(scores, percentiles).astype(np.float64)
