"""Class probabilities of whole images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from wsss.core.command import progress, write_text
from wsss.core.images import decode
from wsss.core.store import ImageReader, ImageRecord
from wsss.nn.cam_network import load_cam_network
from wsss.nn.inference import augmented_mean, in_order, ready


def predict(model: Path, images: Sequence[Path], *, threads: int, out: Path) -> None:
    """Write σ(logits) in [0, 1] of each image at its own size, without augmentation.

    A CSV file: the image's id, then a column a class.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    network = ready(trained.network)

    def scores(record: ImageRecord) -> Float32[np.ndarray, " c"]:
        pooled = augmented_mean(
            lambda x: network(x).float().mean((2, 3), keepdim=True),
            decode(record.data),
            trained.backbone,
            scales=(1.0,),
            flip=False,
            size=(1, 1),
        )
        return pooled[:, 0, 0].sigmoid().cpu().numpy()

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", *trained.classes])
    with ImageReader(images) as reader:
        bar = progress(in_order(reader, scores), total=len(reader), what="predict")
        for record, row in bar:
            writer.writerow([record.id, *(f"{p:.4f}" for p in row)])
    write_text(out, text.getvalue())
