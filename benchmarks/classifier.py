"""Speed of every training objective relative to vanilla, as a Markdown table.

OMP_WAIT_POLICY=passive python benchmarks/classifier.py [--backbone mobilenetv2_100] [--threads 2]

One optimizer step on a batch that is in memory: forward, loss, backward, update. The objectives
take turns in one process, so a slow moment of the machine hits all of them; medians.
"Passes" counts multiples of vanilla's forward and backward pass that the equation needs at least: a
frozen network costs its forward pass and the gradient of its input, two thirds of a whole one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from wsss.classifier.learner import ClassifierLearner
from wsss.classifier.losses import Criterion
from wsss.classifier.objective import build_objective
from wsss.classifier.recipe import AnyClassifier, parse_classifier
from wsss.core.memory import keep_freed_memory
from wsss.core.recipe import canonical_json
from wsss.nn.cam_network import CamNetwork
from wsss.nn.inference import device

CLASSES = 20
# Objective and the passes its equation needs, in units of vanilla's.
OBJECTIVES = {
    "vanilla": ({}, 1),
    "vanilla, KUR": ({"head": {"kernel": {"kind": "kur"}}}, 1),
    "vanilla, TAP": ({"head": {"pooling": {"kind": "tap"}}}, 1),
    "oc-cse": ({"ordinary": "oc"}, 1 + 2 / 3),
    "puzzle": ({}, 2),
    "p-oc": ({"ordinary": "oc"}, 2 + 2 / 3),
    "p-noc": ({"ordinary": "oc"}, 3 + 2 / 3),
}


def stepper(name: str, keys: dict, backbone: dict, batch: tuple, bf16: bool) -> Callable[[], None]:
    """A function that takes one step of an objective on `batch`."""
    plain = {"objective": name.partition(",")[0], "backbone": backbone, **keys}
    recipe: AnyClassifier = parse_classifier(canonical_json(plain))
    network = CamNetwork(recipe.backbone, CLASSES, recipe.head).to(device())
    judge = CamNetwork(recipe.backbone, CLASSES).to(device()) if "ordinary" in keys else None
    objective = build_objective(recipe, Criterion(0.1), judge).to(device())
    learner = ClassifierLearner(network, objective, recipe).to(device()).train()
    trained = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-4)

    def step() -> None:
        images, labels = batch
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            loss = objective(network, images, labels, 0.5).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--output-stride", type=int, default=16)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()  # as every training does
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = torch.randn(arguments.batch, 3, arguments.crop, arguments.crop, device=device())
    labels = (torch.rand(arguments.batch, CLASSES, device=device()) < 0.1).float()
    labels[:, 0] = 1
    backbone = {"name": arguments.backbone, "output_stride": arguments.output_stride}
    steps = {
        name: stepper(name, keys, backbone, (images, labels), arguments.bf16)
        for name, (keys, _) in OBJECTIVES.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(arguments.rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number:  # the first round plans convolutions
                times[name].append(time.perf_counter() - began)
    print("| objective | images/s | time relative to vanilla | passes |\n|---|---:|---:|---:|")
    base = statistics.median(times["vanilla"])
    for name, measured in times.items():
        median = statistics.median(measured)
        rate, passes = arguments.batch / median, OBJECTIVES[name][1]
        print(f"| {name} | {rate:.1f} | {median / base:.2f} | {passes:.2f} |")


if __name__ == "__main__":
    main()
