"""The random walk over a maps file, with the boundaries that a trained network finds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.affinity.network import load_network
from wsss.affinity.recipe import STRIDE, WalkRecipe
from wsss.affinity.walk import random_walk
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import Header, MapRecord, MapWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.maps import upsample
from wsss.crf.masks_from_maps import Paths, check_foreground, open_maps
from wsss.nn.inference import device, grid_size, ready
from wsss.nn.recipe import Backbone
from wsss.nn.transforms import normalise

T = TypeVar("T")

WHOLE = 32  # every stride of a backbone divides it


def walk_maps(
    recipe: WalkRecipe, model: Path, maps: Paths, images: Paths, *, threads: int, out: Path
) -> None:
    """Write the random walk of every record of `maps` (shards) to the maps file `out`.

    Ids, order, split, sizes and classes stay; maps lie on the stride-4 grid and in [0, 1], divided
    by the maximum over all classes of the image. On a CPU each of `threads` threads takes an image
    at a time, so the numbers do not depend on their number.
    Raises UserError where model, maps and images do not belong together.
    """
    network, trained, about = load_network(model)
    records, pictures = open_maps(maps, images)
    require_classes(records, about["classes"], of=model, remedy="train it on the same data set")
    network = ready(network)
    on_cpu = device().type == "cpu"
    torch.set_num_threads(1 if on_cpu else threads)

    def walk(position: int) -> tuple[MapRecord, Float[np.ndarray, "k h w"]]:
        record = records[position]
        check_foreground(record, records.paths[0])
        image = decode(pictures[record.id].data)
        return record, walk_record(network, trained.backbone, recipe, image, record)

    of = records.header
    made = {"source": of.source(), "affinity_seed": about["seed"]}
    header = Header("maps", of.split, of.classes, recipe.to_json(), made)
    with MapWriter(out, header) as writer:
        moved = _map_in_threads(walk, len(records), threads if on_cpu else 1)
        for record, walked in progress(moved, total=len(records), what="random walk"):
            writer.add(record.id, record.size, record.classes, walked)


@torch.inference_mode()
def walk_record(
    network: nn.Module,
    backbone: Backbone,
    recipe: WalkRecipe,
    image: UInt8[np.ndarray, "H W 3"],
    record: MapRecord,
) -> Float[np.ndarray, "k h w"]:
    """Maps after the walk, on the grid ((H − 1) // 4 + 1, (W − 1) // 4 + 1), their maximum 1.

    Maps on another grid are resized to it bilinearly. Where everything is 0 it stays 0.
    """
    size = grid_size(image.shape[:2], STRIDE)
    start = torch.from_numpy(upsample(record.maps, size))
    if not len(record.classes):
        return start.numpy()
    edge = boundary(network, backbone, image, flip=recipe.flip)
    moved = random_walk(
        start.to(edge.device), edge, beta=recipe.beta, steps=recipe.steps, radius=recipe.radius
    )
    top = moved.max()
    return (moved / top if top > 0 else moved).cpu().numpy()


@torch.inference_mode()
def boundary(
    network: nn.Module, backbone: Backbone, image: UInt8[np.ndarray, "H W 3"], *, flip: bool
) -> Float[Tensor, "h w"]:
    """Probability of a class boundary at stride 4: σ of the logits, averaged with the mirror's.

    As in the papers the image is padded at the right and below with 0 (after normalisation) and
    then mirrored; here to multiples of 32, where the papers take 512.
    """
    height, width = image.shape[:2]
    x = normalise(image, backbone)[None].to(device())
    x = F.pad(x, (0, -width % WHOLE, 0, -height % WHOLE))
    x = torch.cat([x, x.flip(-1)]) if flip else x
    logits = network(x.contiguous(memory_format=torch.channels_last))
    logit = (logits[0] + logits[1].flip(-1)) / 2 if flip else logits[0]
    h, w = grid_size((height, width), STRIDE)
    return logit[:h, :w].float().sigmoid()


def _map_in_threads(work: Callable[[int], T], count: int, threads: int) -> Iterator[T]:
    """work(0), …, work(count − 1), in order; at most two tasks a thread are in flight.

    Threads, not processes: network and torch are shared, and torch lets go of the interpreter.
    """
    if threads == 1:
        yield from map(work, range(count))
        return
    pool, flying = ThreadPoolExecutor(threads), deque()
    try:
        for position in range(count):
            flying.append(pool.submit(work, position))
            if len(flying) >= 2 * threads:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
