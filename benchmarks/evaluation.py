"""Evaluating maps at VOC size: one pass for 99 thresholds against one pass a threshold.

Both ways read the same images from memory, in one process with one thread, alternating:
    OMP_NUM_THREADS=1 python benchmarks/evaluation.py
"""

import statistics
import time

import numpy as np

from wsss.core.maps import label_indices, labels_to_ids, upsample
from wsss.evaluation import confusion_matrix, threshold_curve

SIZE, CLASSES, IMAGES, ROUNDS = (375, 500), 21, 4, 5
THRESHOLDS = [round(0.01 * i, 2) for i in range(1, 100)]


def images():
    """Maps of 1 or 2 classes at a quarter of the image's size, as multi-scale CAMs have it."""
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        k = 1 + i % 2
        maps = rng.random((k, 12, 16), dtype=np.float32)
        maps = upsample(maps, (94, 125)).astype(np.float16)
        blocks = rng.integers(0, CLASSES, (8, 10)).astype(np.uint8)
        truth = blocks.repeat(50, 0).repeat(50, 1)[: SIZE[0], : SIZE[1]].copy()
        truth[::50] = 255
        yield maps, rng.choice(np.arange(1, CLASSES), k, replace=False), truth


def one_pass_a_threshold(data):
    """The obvious way: a mask and its confusion matrix for every threshold, maps upsampled once."""
    confusion = np.zeros((len(THRESHOLDS), CLASSES, CLASSES), np.int64)
    for maps, classes, truth in data:
        large = upsample(maps, truth.shape)
        for i, threshold in enumerate(THRESHOLDS):
            prediction = labels_to_ids(label_indices(large, threshold), classes)
            confusion[i] += confusion_matrix(prediction, truth, CLASSES)
    return confusion


def seconds(function):
    """How long one call takes, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main():
    """Print a Markdown table."""
    data = list(images())
    times = {"one pass": [], "one pass a threshold": []}
    for _ in range(ROUNDS):
        fast, curve = seconds(lambda: threshold_curve(data, THRESHOLDS, CLASSES).confusion)
        slow, loop = seconds(lambda: one_pass_a_threshold(data))
        np.testing.assert_array_equal(curve, loop)
        times["one pass"].append(fast / IMAGES)
        times["one pass a threshold"].append(slow / IMAGES)
    medians = {name: statistics.median(values) for name, values in times.items()}
    what = f"{len(THRESHOLDS)} thresholds, {SIZE[1]}×{SIZE[0]}"
    print(f"| {what} | ms/image | images/s |\n|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {1000 * value:.1f} | {1 / value:.1f} |")
    print(f"| ratio | {medians['one pass a threshold'] / medians['one pass']:.0f}× | |")


if __name__ == "__main__":
    main()
