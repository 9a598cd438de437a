"""What a classifier says of images masked by their explanations, a row for each detection.

The five metrics of MinMax-CAM (David et al. 2022). Increase in confidence and average drop are
Grad-CAM++'s (Chattopadhay et al. 2018); the other three are for images with several classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

# Preprocessed images (B, 3, H, W) → σ(logits) (B, C).
Probabilities = Callable[[Tensor], Tensor]


@torch.no_grad()
def per_detection(
    probabilities: Probabilities,
    images: Float[Tensor, "b 3 H W"],
    maps: Float[Tensor, "n H W"],
    images_of: Int[Tensor, " n"],
    classes_of: Int[Tensor, " n"],
    *,
    detection: float | int = 0.5,
    chunk: int = 32,
    unmasked: Float[Tensor, "b c"] | None = None,
    ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A row for each pair of an image i and a class c that the classifier detects in it.

    images: preprocessed. maps: m in [0, 1], soft (ψ, then resized to the images' size), of the
    pairs (images_of, classes_of), indices from 0. detection: δ in [0, 1); D_i are the classes of
    probability above it, right or wrong, whether or not they have a map. chunk: images in a pass
    of the network; a pair costs two. unmasked: probabilities(images), where they are at hand.
    ids: the images' names, for the column "image"; their indices otherwise.

    With y = p(x), o = p(x·m), ō = p(x·(1 − m)) and drop(u, v) = max(0, u − v) / u, the columns are
    image, class, probability (y_c), detections (|D_i|), and fractions in [0, 1]:

    - increase: 1 where y_c < o_c
    - drop: drop(y_c, o_c)
    - retention: drop(y_c, ō_c); high where the class is gone without what the map shows
    - drop_of_others, retention_of_others: mean of drop(y_j, o_j), of drop(y_j, ō_j), over the other
      classes j in D_i; 0 where c is alone

    Masks multiply the preprocessed tensor: 0 is the mean colour, or mid-grey, as it was normalised.
    Pairs whose class is not detected have no row: nothing is there to drop. Rows of several batches
    are concatenated; `wsss.explain.metrics.averages` averages them.

    Raises ValueError for maps outside [0, 1], and for a δ outside [0, 1).
    """
    if not 0 <= detection < 1:
        raise ValueError(f"detection is {detection}; give a probability in [0, 1)")
    _check_range(maps)
    y = (probabilities(images) if unmasked is None else unmasked).cpu().double()
    images_of, classes_of = images_of.cpu(), classes_of.cpu()
    pairs = (y > detection)[images_of, classes_of].nonzero()[:, 0]
    of, c = images_of[pairs], classes_of[pairs]
    kept, rest = [y.new_zeros(0, y.shape[1])], [y.new_zeros(0, y.shape[1])]
    for first in range(0, len(pairs), chunk):
        part = pairs[first : first + chunk]
        x, mask = images[images_of[part]], maps[part][:, None]
        kept.append(probabilities(x * mask.to(x.dtype)).cpu().double())
        rest.append(probabilities(x * (1 - mask).to(x.dtype)).cpu().double())
    y, o, complement = y[of], torch.cat(kept), torch.cat(rest)
    number, detected = torch.arange(len(of)), y > detection
    dropped, retained = _drop(y, o), _drop(y, complement)
    others = detected.clone()
    others[number, c] = False
    columns = {
        "image": of.numpy() if ids is None else [ids[i] for i in of.tolist()],
        "class": c,
        "probability": y[number, c],
        "detections": detected.sum(1),
        "increase": (y < o)[number, c].long(),
        "drop": dropped[number, c],
        "retention": retained[number, c],
        "drop_of_others": _mean(dropped, others),
        "retention_of_others": _mean(retained, others),
    }
    return pd.DataFrame({n: v.numpy() if isinstance(v, Tensor) else v for n, v in columns.items()})


def _drop(y: Float64[Tensor, "n c"], o: Float64[Tensor, "n c"]) -> Float64[Tensor, "n c"]:
    """Of detected classes, y > 0; of others it may be NaN, and is not looked at."""
    return (y - o).clamp(min=0) / y


def _mean(values: Float64[Tensor, "n c"], of: Tensor) -> Float64[Tensor, " n"]:
    return torch.where(of, values, 0).sum(1) / of.sum(1).clamp(min=1)


def _check_range(maps: Float[Tensor, "n H W"]) -> None:
    # Bilinear weights may add up to a little more than 1.
    if len(maps) and not (maps.min() >= -1e-3 and maps.max() <= 1 + 1e-3):
        raise ValueError("maps must be in [0, 1], without NaN; apply psi first")
