"""Speed of Grad-CAM, Grad-CAM++ and Score-CAM against pytorch-grad-cam, as a Markdown table.

python benchmarks/explain.py [--network resnet18] [--side 224] [--batch 16] [--threads 2]

The task of all: the maps of every given class of a batch of images, one to four of 20 classes in
an image, by the same untrained network of torchvision. pytorch-grad-cam takes one class a row, so
it gets an image once for each of its classes; all rows in one call, but for Score-CAM, whose masked
images of all rows would not fit into memory, and which gets them one by one.

Grad-CAM and Grad-CAM++ are of the last layer, without and with a closed form. Score-CAM is of the
last layer of 256 channels, all of which both use, with softmax weights, and of fewer images
(--score-batch, best an even number). The two are timed in turn in each round: the medians of each,
and of the rounds' ratios. The last column is the largest difference of the maps, scaled to [0, 1]
at the image's size.
"""

from __future__ import annotations

# Before torch, which reads once how its threads shall wait.
import wsss  # noqa: F401  # isort: skip

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ["TQDM_DISABLE"] = "1"  # read at import; ScoreCAM has a bar for each map

import torch
import torchvision
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, psi, rescale, resize
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.methods.grad_cam_plus_plus import grad_cam_plus_plus
from wsss.attribution.methods.score_cam import score_cam
from wsss.core.memory import keep_freed_memory

CLASSES = 20
IN_AN_IMAGE = (2, 3, 1, 4, 3, 2, 2, 3)  # 2.5 on average, also of the first two


def given_classes(batch: int) -> Tensor:
    """Which classes are in each image."""
    random = torch.Generator().manual_seed(0)
    given = torch.zeros(batch, CLASSES, dtype=torch.bool)
    for i in range(batch):
        chosen = torch.randperm(CLASSES, generator=random)[: IN_AN_IMAGE[i % len(IN_AN_IMAGE)]]
        given[i, chosen] = True
    return given


def theirs(method: type, network: nn.Module, layer: str, images: Tensor, given: Tensor) -> Tensor:
    """pytorch-grad-cam's maps of all pairs, in the pairs' order, in [0, 1]."""
    at, classes = given.nonzero(as_tuple=True)
    step = 1 if method is ScoreCAM else len(at)
    maps = []
    with method(network, [network.get_submodule(layer)]) as cam:
        for rows in torch.arange(len(at)).split(step):
            targets = [ClassifierOutputTarget(int(c)) for c in classes[rows]]
            maps.append(torch.from_numpy(cam(images[at[rows]], targets)))
    return torch.cat(maps)


def ours(
    method: Callable[..., Maps], classifier: Classifier, images: Tensor, given: Tensor
) -> Tensor:
    """The same by wsss: scaled, resized and scaled again as pytorch-grad-cam does."""
    found = method(classifier, images, given)
    return rescale(resize(psi(found.maps), tuple(images.shape[2:])))


def compare(name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor], rounds: int):
    """Print a row of the table."""
    seconds: tuple[list[float], list[float]] = ([], [])
    difference = float((ours() - theirs()).abs().max())  # which warms up, too
    for _ in range(rounds):
        for work, times in zip((ours, theirs), seconds, strict=True):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
    first, second = (1000 * statistics.median(times) for times in seconds)
    print(f"| {name} | {first:.0f} | {second:.0f} | {ratio:.1f} | {difference:.0e} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default="resnet18", help="A ResNet of torchvision.")
    parser.add_argument("--side", type=int, default=224, help="Of the images, pixels.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--score-batch", type=int, default=8, help="Images of Score-CAM.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--score-rounds", type=int, default=1, help="Rounds of Score-CAM.")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network = torchvision.models.get_model(arguments.network, num_classes=CLASSES).eval()
    network.fc.weight.data *= 100  # constants in grad-cam's denominators are as small beside them
    images = torch.randn(arguments.batch, 3, arguments.side, arguments.side)
    given = given_classes(arguments.batch)
    closed = Classifier(network, "layer4", linear="fc")
    gradient = Classifier(network, "layer4")

    print("| method | wsss ms | pytorch-grad-cam ms | times as fast | difference |")
    print("|---|---|---|---|---|")
    for name, method, reference in (
        ("Grad-CAM", grad_cam, GradCAM),
        ("Grad-CAM++", grad_cam_plus_plus, GradCAMPlusPlus),
    ):
        run = partial(theirs, reference, network, "layer4", images, given)
        for path, classifier in (("closed form", closed), ("gradients", gradient)):
            mine = partial(ours, method, classifier, images, given)
            compare(f"{name}, {path}", mine, run, arguments.rounds)
    images, given = images[: arguments.score_batch], given[: arguments.score_batch]
    layer = "layer1" if arguments.network in ("resnet50", "resnet101", "resnet152") else "layer3"
    method = partial(score_cam, channels=256, weight="softmax", align_corners=True)
    run = partial(theirs, ScoreCAM, network, layer, images, given)
    mine = partial(ours, method, Classifier(network, layer), images, given)
    compare(f"Score-CAM, 256 channels of {layer}", mine, run, arguments.score_rounds)


if __name__ == "__main__":
    main()
