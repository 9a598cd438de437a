"""Class probabilities of whole images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from wsss.core.files.atomic import write_text
from wsss.core.files.store import ImageReader, ImageRecord
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.nn.cam_network import TrainedCamNetwork, load_cam_network
from wsss.nn.inference import augmented_mean, in_order, ready


def probabilities(
    trained: TrainedCamNetwork, images: ImageReader
) -> Iterator[tuple[ImageRecord, Float32[np.ndarray, " c"]]]:
    """σ(logits) in [0, 1] of each image at its own size, without augmentation, in the file's order.

    The network is put into evaluation mode.
    """
    network = ready(trained.network)

    def scores(record: ImageRecord) -> Float32[np.ndarray, " c"]:
        pooled = augmented_mean(
            lambda x: network(x).logits[..., None, None],
            decode(record.data),
            trained.backbone,
            scales=(1.0,),
            flip=False,
            size=(1, 1),
        )
        return pooled[:, 0, 0].sigmoid().cpu().numpy()

    return in_order(images, scores)


def predict(model: Path, images: Sequence[Path], *, threads: int, out: Path) -> None:
    """Write the `probabilities` of images as CSV: the image's id, then a column per class."""
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", *trained.classes])
    with ImageReader(images) as reader:
        bar = progress(probabilities(trained, reader), total=len(reader), what="predict")
        for record, row in bar:
            writer.writerow([record.id, *(f"{p:.4f}" for p in row)])
    write_text(out, text.getvalue())
