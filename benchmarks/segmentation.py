"""Speed of segmentation training and prediction against the bare network, as Markdown tables.

OMP_WAIT_POLICY=passive python benchmarks/segmentation.py [--backbone mobilenetv2_100] [--threads 2]

Milliseconds an image, as wall time and as processor time of all threads. On a busy machine only the
second means something, and only with OMP_WAIT_POLICY=passive: else waiting threads burn time.
Images are generated, 240 × 320 and 320 × 240. The floor of prediction is the same network on one
repeated shape a scale, without decoding, resizing, softmax, upsampling or writing.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsss.core.files.model_file import save_model
from wsss.core.files.store import Header, ImageRecord, ImageWriter
from wsss.core.random import generator
from wsss.nn.inference import ready
from wsss.nn.recipe import Backbone
from wsss.segmentation.learner import SegmentationLearner
from wsss.segmentation.network import DeepLabV3Plus
from wsss.segmentation.predict import predict
from wsss.segmentation.recipe import PredictRecipe, TrainRecipe

CLASSES = tuple(f"class{i}" for i in range(20))
SIZES = ((240, 320), (320, 240))


def milliseconds(work: Callable[[], object], images: int, repeats: int) -> str:
    """Best wall and processor milliseconds an image of `repeats` calls after a first one."""
    work()
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    best = (1000 * min(column) / images for column in zip(*times, strict=True))
    return " | ".join(f"{value:.0f}" for value in best)


def training(backbone: Backbone) -> None:
    """Forward, loss and backward of a batch of 16, without loading."""
    print("| batch 16 | wall ms/image | processor ms/image |\n|---|---|---|")
    for crop in (224, 256):
        images = torch.randn(16, 3, crop, crop)
        masks = torch.randint(0, 1 + len(CLASSES), (16, crop, crop), dtype=torch.uint8)
        for precision in ("32", "bf16"):
            recipe = TrainRecipe(backbone=backbone)
            network = DeepLabV3Plus(backbone, 1 + len(CLASSES))
            learner = SegmentationLearner(network, recipe).train()

            def step(learner=learner, batch=(images, masks), bf16=precision == "bf16") -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss, _ = learner.loss(batch)
                loss.backward()
                learner.zero_grad()

            print(f"| crop {crop}, {precision} | {milliseconds(step, 16, 2)} |", flush=True)


def write_images(path: Path, count: int) -> None:
    """Smooth noise as JPEG."""
    with ImageWriter(path, Header("images", "val", CLASSES)) as writer:
        for i in range(count):
            height, width = SIZES[i % 2]
            noise = generator("benchmark", i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            data = io.BytesIO()
            Image.fromarray(noise).resize((width, height)).save(data, "JPEG")
            labels = np.zeros(len(CLASSES), np.uint8)
            writer.add(ImageRecord(str(i), data.getvalue(), (height, width), labels))


def prediction(backbone: Backbone, threads: int) -> None:
    """The whole command's work against bare forward passes of the same shapes."""
    network = ready(DeepLabV3Plus(backbone, 1 + len(CLASSES)))
    scales, images = (0.5, 1.0, 1.5), 12
    batches = [
        torch.rand(2, 3, round(h * s), round(w * s)).contiguous(memory_format=torch.channels_last)
        for h, w in SIZES
        for s in scales
    ]
    print("\n| scales 0.5, 1, 1.5, flips | wall ms/image | processor ms/image |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images.h5", images)
        about = {
            "kind": "segmentation",
            "recipe": {"backbone": backbone.model_dump(mode="json")},
            "classes": list(CLASSES),
            "seed": 0,
        }
        save_model(folder / "model.safetensors", network, about)
        for precision in ("32", "bf16"):

            @torch.inference_mode()
            def bare(bf16: bool = precision == "bf16") -> None:
                for batch in batches:
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                        network(batch)

            recipe = PredictRecipe(scales=scales, precision=precision)

            def whole(recipe: PredictRecipe = recipe) -> None:
                model, out = folder / "model.safetensors", folder / "prediction.h5"
                predict(recipe, model, folder / "images.h5", threads=threads, out=out)

            print(
                f"| bare forward, {precision} | {milliseconds(bare, len(SIZES), 3)} |", flush=True
            )
            print(f"| predict, {precision} | {milliseconds(whole, images, 1)} |", flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    backbone = Backbone(name=options.backbone, batch_norm="frozen")
    print(f"{options.backbone}, output stride 16, BatchNorm frozen, {options.threads} threads\n")
    training(backbone)
    prediction(backbone, options.threads)


if __name__ == "__main__":
    main()
