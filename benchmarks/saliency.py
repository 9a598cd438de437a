"""What a training step of C²AM and of C²AM-H costs beside its backbone alone.

python benchmarks/saliency.py [--backbone resnet50] [--side 448] [--batch 128] [--precision bf16]

The floor is the backbone's own forward and backward pass, from a gradient of ones on the two maps
that C²AM uses. A step is everything that a training does with a batch: forward, the losses,
backward, and the optimizer. The three are timed in turn in each round; medians over the rounds.
The side of 96 pixels is for a CPU; recipes have 448 by default.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--side", type=int, default=96, help="Side of the training crop, pixels.")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    import torch

    from wsss.core.memory import keep_freed_memory
    from wsss.nn.recipe import Backbone, Square
    from wsss.saliency.c2am import C2am
    from wsss.saliency.c2am_learner import C2amLearner
    from wsss.saliency.recipe import C2amAugment, C2amTrain, Hints
    from wsss.training.optimizer import build_optimizer, parameter_groups

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    backbone = Backbone(name=arguments.backbone)
    augment = C2amAugment(crop=arguments.side, resize=Square(side=arguments.side + 16))
    images = torch.randn(arguments.batch, 3, arguments.side, arguments.side)
    hints = torch.randint(0, 255, images[:, 0].shape, dtype=torch.uint8)
    network = C2am(backbone).train()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    images, hints = images.to(device), hints.to(device)
    channels_last = images.contiguous(memory_format=torch.channels_last)

    def forward_precision() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16")

    def alone() -> None:
        with forward_precision():
            maps = network.backbone(channels_last)[-2:]
        torch.autograd.backward(maps, [torch.ones_like(m) for m in maps])

    def step(learner: C2amLearner, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        with forward_precision():
            loss, _ = learner.loss((images, hints))
        loss.backward()
        optimizer.step()

    def training(with_hints: Hints | None) -> Callable[[], None]:
        recipe = C2amTrain(backbone=backbone, augment=augment, hints=with_hints)
        learner = C2amLearner(network, recipe).to(device)
        new = [network.head, network.norm]
        groups = parameter_groups(network, new, recipe.training.optimizer)
        optimizer = build_optimizer(groups, recipe.training.optimizer)
        return lambda: step(learner, optimizer)

    rows = {"backbone alone": alone, "C²AM": training(None), "C²AM-H": training(Hints())}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for round_ in range(arguments.rounds + 1):
        for name, run in rows.items():
            network.zero_grad(set_to_none=True)
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_:  # the first one warms up
                seconds[name].append(time.perf_counter() - began)
    floor = seconds["backbone alone"]
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{arguments.threads} cores"
    side, batch, precision = arguments.side, arguments.batch, arguments.precision
    print(f"{arguments.backbone}, {side} pixels, batch {batch}, precision {precision}, {where}")
    for name, times in seconds.items():
        ratio = statistics.median(t / f for t, f in zip(times, floor, strict=True))
        rate = arguments.batch / statistics.median(times)
        print(f"{name:16s}{rate:8.1f} images/s {ratio:6.2f} × the backbone alone")


if __name__ == "__main__":
    main()
