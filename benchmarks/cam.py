"""Speed of CAM extraction against a bare forward pass of as many pixels, as a Markdown table.

python benchmarks/cam.py [--backbone mobilenetv2_100] [--images 32] [--threads 2]

Images are generated in the sizes of VOC: long side 500, many short sides. The floor is the same
network on one repeated shape a scale, without decoding, resizing, upsampling or writing. Set
ONEDNN_PRIMITIVE_CACHE_CAPACITY to see what other sizes of oneDNN's cache do.
"""

from __future__ import annotations

# Before torch, which reads once how its threads shall wait.
import wsss  # noqa: F401  # isort: skip

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsss.cam.extraction import extract
from wsss.cam.recipe import CamRecipe
from wsss.core.files.model_file import save_model
from wsss.core.files.store import Header, ImageReader, ImageRecord, ImageWriter
from wsss.core.random import generator
from wsss.nn.cam_network import CamNetwork
from wsss.nn.inference import ready
from wsss.nn.recipe import Backbone

CLASSES = tuple(f"class{i}" for i in range(20))


def write_images(path: Path, count: int) -> None:
    """Smooth noise as JPEG; half are 500 × 375, the others have short sides from 280 to 500."""
    with ImageWriter(path, Header("images", "train", CLASSES)) as writer:
        for i in range(count):
            random = generator("benchmark", i)
            short = 375 if random.random() < 0.5 else int(random.integers(280, 501))
            height, width = (short, 500) if random.random() < 0.7 else (500, short)
            noise = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
            data = io.BytesIO()
            Image.fromarray(noise).resize((width, height)).save(data, "JPEG")
            labels = np.zeros(len(CLASSES), np.uint8)
            labels[random.permutation(len(CLASSES))[:2]] = 1
            writer.add(ImageRecord(str(i), data.getvalue(), (height, width), labels))


def save_network(path: Path, backbone: Backbone) -> None:
    """Random weights: speed does not depend on them."""
    about = {
        "kind": "classifier",
        "recipe": {"backbone": backbone.model_dump(mode="json"), "head": {}},
        "classes": list(CLASSES),
        "seed": 0,
    }
    save_model(path, CamNetwork(backbone, len(CLASSES)), about)


@torch.inference_mode()
def floor(backbone: Backbone, recipe: CamRecipe, pixels: int) -> float:
    """Seconds of forward passes over `pixels` image pixels at all scales and flips."""
    network = ready(CamNetwork(backbone, len(CLASSES)))
    height, width = 375, 500
    seconds = 0.0
    for scale in recipe.scales:
        shape = (1 + recipe.flip, 3, round(height * scale), round(width * scale))
        x = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        network(x)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            network(x)
            times.append(time.perf_counter() - start)
        seconds += float(np.median(times))
    return seconds * pixels / (height * width)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = Backbone(name=options.backbone)
    print(f"{options.images} images, {options.threads} threads, {options.backbone}, stride 16\n")
    print("| scales, with flips | bare forward, images/s | extract, images/s | multiple of bare |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        images, model = Path(folder) / "images.h5", Path(folder) / "model.safetensors"
        write_images(images, options.images)
        save_network(model, backbone)
        pixels = sum(h * w for h, w in ImageReader(images).sizes)
        for scales in ((1.0,), (0.5, 1.0, 1.5, 2.0)):
            recipe = CamRecipe(scales=scales)
            bare = floor(backbone, recipe, pixels)
            start = time.perf_counter()
            extract(recipe, model, images, threads=options.threads, out=Path(folder) / "cam.h5")
            taken = time.perf_counter() - start
            rates = f"{options.images / bare:.2f} | {options.images / taken:.2f}"
            print(f"| {', '.join(map(str, scales))} | {rates} | {taken / bare:.2f} |", flush=True)


if __name__ == "__main__":
    main()
