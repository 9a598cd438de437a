"""What a backbone with frozen BatchNorm gains on a CPU from kept memory and folded norms.

python benchmarks/backbone.py [--backbone mobilenetv2_100] [--size 256] [--threads 2]

Each round starts a process for each row of the table, in turn: PyTorch and glibc as they are, with
freed memory kept (`wsss.core.memory`), and with BatchNorm folded besides (`wsss.nn.folding`).
Medians over the rounds; page faults and memory are those of a whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

ROWS = ("as they are", "memory kept", "memory kept, norms folded")


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Images/s of this process."""
    import torch

    from wsss.core.memory import keep_freed_memory
    from wsss.nn.cam_network import CamNetwork
    from wsss.nn.recipe import Backbone

    if arguments.mode != ROWS[0]:
        keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    backbone = Backbone(name=arguments.backbone, output_stride=16, batch_norm="frozen")
    network = CamNetwork(backbone, 20)
    if arguments.mode != ROWS[2]:
        for module in network.modules():
            vars(module).pop("forward", None)  # what fold_batch_norm has put there
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size)

    def rate(step) -> float:
        seconds = []
        for _ in range(arguments.repeats + 1):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
        return arguments.batch / statistics.median(seconds[1:])

    train = rate(lambda: network(images).logits.sum().backward())
    with torch.inference_mode():
        forward = rate(lambda: network(images))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "train": train,
        "forward": forward,
        "faults": usage.ru_minflt,
        "GiB": usage.ru_maxrss / 2**20,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(measure(arguments)))
        return
    rows: dict[str, list[dict[str, float]]] = {mode: [] for mode in ROWS}
    for _ in range(arguments.rounds):
        for mode, found in rows.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--mode", mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
    for mode, found in rows.items():
        medians = {key: statistics.median(row[key] for row in found) for key in found[0]}
        print(
            f"{mode:26s}"
            f"{medians['train']:7.1f} images/s training {medians['forward']:7.1f} images/s forward"
            f"{medians['faults']:11.0f} page faults {medians['GiB']:6.2f} GiB"
        )


if __name__ == "__main__":
    main()
