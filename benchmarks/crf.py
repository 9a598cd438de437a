"""Dense CRF of one generated 375x500 image: CPU seconds by labels and steps, shared lattice or not.

Run: OMP_NUM_THREADS=1 python benchmarks/crf.py [repeats]. Prints a Markdown table of medians.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from PIL import Image

from wsss.core.random import generator
from wsss.crf.inference import ImageCrf, mean_field
from wsss.crf.presets import PRESETS
from wsss.crf.unary import unary_from_probabilities

HEIGHT, WIDTH = 375, 500
TERM = PRESETS["probabilities"]


def generated_image() -> np.ndarray:
    """Smooth colours with pixel noise, as a photograph has them."""
    random = generator(0, "image")
    coarse = random.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    noise = random.integers(-6, 7, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """CPU time of one call: it runs in one thread, and other work on the machine counts less."""
    started = time.process_time()
    work(*arguments)
    return time.process_time() - started


def once(image: np.ndarray, unary: np.ndarray, steps: int) -> None:
    """One CRF."""
    mean_field(image, unary, pairwise=TERM, steps=steps)


def rebuilt(image: np.ndarray, unary: np.ndarray, steps: int) -> None:
    """Two CRFs, each with a lattice of its own."""
    once(image, unary, steps)
    once(image, unary, steps)


def shared(image: np.ndarray, unary: np.ndarray, steps: int) -> None:
    """Two CRFs on one lattice."""
    crf = ImageCrf(image, TERM, len(unary))
    crf.infer(unary, steps)
    crf.infer(unary, steps)


def main(repeats: int) -> None:
    """Time all variants in turn, so that a busy machine slows them alike."""
    image = generated_image()
    print(f"{HEIGHT}x{WIDTH} pixels, preset probabilities, CPU seconds (median of {repeats})\n")
    print("| labels | steps | lattice alone | one CRF | two CRFs, rebuilt | two CRFs, shared |")
    print("|---|---|---|---|---|---|")
    for labels in (2, 4, 21):
        p = generator(0, labels).dirichlet(np.ones(labels), HEIGHT * WIDTH).T
        unary = unary_from_probabilities(p.reshape(labels, HEIGHT, WIDTH))
        for steps in (1, 10):
            times = [
                [
                    seconds(ImageCrf, image, TERM, labels),
                    *(seconds(work, image, unary, steps) for work in (once, rebuilt, shared)),
                ]
                for _ in range(repeats)
            ]
            cells = (f"{median(column):.3f}" for column in zip(*times, strict=True))
            print(f"| {labels} | {steps} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
