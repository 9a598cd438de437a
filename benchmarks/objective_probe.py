"""What the terms of the objectives could teach a trained classifier: evidence, not speed.

python benchmarks/objective_probe.py --model model.safetensors --images train.h5 \
    --masks train.masks.h5 [--count 80] [--crop 256] [--judge ordinary/model.safetensors]

Three tables, on images with one label (true masks are looked at here, never in a training):

1. Erasing: what the classifier, as its own ordinary classifier, still sees of the class when parts
   of the image are erased; with --judge what another one sees, the parts being the model's (and
   this table only). If the soft mask's row is far above the hard masks', the term asks for stronger
   maps; if the hard masks' rows are as low as the true mask's, it cannot ask for larger ones.
2. Tiles: κ, the mean difference between the maps of image and tiles at positive classes, in units
   of the mean positive logit. Re-merging with weight α pulls the logits z down until
   2 (1 − σ(z)) = α κ (image and tiles are classified), so α κ above 1 takes them to nothing.
3. Gradients: the norm of one batch's gradient, of the mean gradient (estimated without the batches'
   own noise), and how many batches it takes until the two are equal.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from wsss.classifier.erasing import activation, erase_hard, erase_softly, without
from wsss.classifier.losses import Criterion
from wsss.classifier.puzzle import re_merge_loss, tiled_maps
from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.images import decode
from wsss.core.memory import keep_freed_memory
from wsss.nn.cam_network import CamNetwork, TrainedCamNetwork, load_cam_network
from wsss.nn.datasets import LabelledImages
from wsss.nn.recipe import Augment, ResizedCrop
from wsss.nn.transforms import TrainTransform, normalise

CRITERION = Criterion(0.0)


@torch.inference_mode()
def erasing(
    trained: TrainedCamNetwork,
    judge: CamNetwork,
    images: ImageReader,
    masks: MaskReader,
    count: int,
) -> None:
    """Table 1."""
    network, judge = trained.network.eval(), judge.eval()
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    alone = [name for name in masks.ids if images[name].labels.sum() == 1]
    for name in np.random.default_rng(0).permutation(alone)[:count]:
        record, truth = images[str(name)], masks[str(name)]
        x = normalise(decode(record.data), trained.backbone)[None]
        labels = torch.from_numpy(record.labels).float()[None]
        r = labels.argmax(1)
        inside = torch.from_numpy((truth == r.item() + 1) | (truth == 255)).float()[None, None]
        psi = activation(
            network(x).maps,
            r,
            torch.tensor([True]),
            (x.shape[2], x.shape[3]),
            normalise="image",
            order="relu-upsample",
        )
        seen = {
            "nothing": x,
            "softly by ψ": erase_softly(x, psi),
            **{f"hard, ψ > {t:g}": erase_hard(x, psi, t) for t in (0.5, 0.3, 0.2)},
            **{f"true mask × {s:g}": erase_softly(x, s * inside) for s in (0.5, 0.9, 1.0)},
            "everything": torch.zeros_like(x),
        }
        shares["ψ"].append(psi.mean().item())
        shares["true mask"].append(inside.mean().item())
        for erased, image in seen.items():
            logits = judge(image).logits
            loss = CRITERION(logits, without(labels, r))
            rows[erased].append((loss.item(), logits[0, r].item()))
    print("| erased | loss against y∖{r} | logit of r | r is seen |\n|---|---:|---:|---:|")
    for erased, found in rows.items():
        loss, logit = np.array(found).T
        print(f"| {erased} | {loss.mean():.3f} | {logit.mean():.2f} | {(logit > 0).mean():.0%} |")
    print("mean:", ", ".join(f"{name} {np.mean(found):.2f}" for name, found in shares.items()))


def terms(network: CamNetwork, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each loss of a batch, the classifier being its own ordinary one."""
    whole, merged = network(x), tiled_maps(network, x, 2)
    r = torch.multinomial(y + 1e-9, 1)[:, 0]
    psi = activation(
        whole.maps,
        r,
        y.sum(1) > 0,
        (x.shape[2], x.shape[3]),
        normalise="image",
        order="relu-upsample",
    )
    with torch.no_grad():
        judge = {name: value.detach() for name, value in network.state_dict().items()}
    seen = torch.func.functional_call(network, judge, (erase_softly(x, psi),)).logits
    return {
        "classification": CRITERION(whole.logits, y),
        "tiles' classification": CRITERION(merged.logits, y),
        "re-merge": re_merge_loss(whole.maps, merged.maps, y),
        "erasing": CRITERION(seen, without(y, r)),
    }


def gradients(trained: TrainedCamNetwork, images: Path, crop: int, batch: int) -> None:
    """Tables 2 and 3."""
    network = trained.network.train()
    augment = Augment(crop=crop, resize=ResizedCrop(), colour_jitter=True)
    data = LabelledImages(images, TrainTransform(augment, trained.backbone))
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(data, batch, shuffle=True, drop_last=True)
    trainable = [p for p in network.parameters() if p.requires_grad]
    found: dict[str, list[torch.Tensor]] = defaultdict(list)
    apart, logits = [], []
    for x, y in islice(loader, 14):
        positive = y > 0
        with torch.no_grad():
            whole, merged = network(x), tiled_maps(network, x, 2)
        apart.append((whole.maps - merged.maps).abs().mean((2, 3))[positive])
        logits.append(whole.logits[positive])
        for name, loss in terms(network, x, y).items():
            parts = torch.autograd.grad(loss, trainable, retain_graph=True, allow_unused=True)
            found[name].append(torch.cat([g.flatten() for g in parts if g is not None]))
    kappa = torch.cat(apart).mean() / torch.cat(logits).mean()
    print(f"\nκ = {torch.cat(apart).mean():.2f} / {torch.cat(logits).mean():.2f} = {kappa:.2f}\n")
    print("| term | norm of a batch's gradient | of the mean | batches |\n|---|---:|---:|---:|")
    for name, each in found.items():
        stacked = torch.stack(each)
        n, squares = len(stacked), stacked.square().sum(1)
        mean = ((stacked.sum(0).square().sum() - squares.sum()) / (n * (n - 1))).clamp(min=0)
        noise = (squares.mean() - mean) / mean
        print(f"| {name} | {squares.sqrt().mean():.2f} | {mean.sqrt():.2f} | {noise:.0f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--judge", type=Path, help="Another classifier, for the first table.")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    trained = load_cam_network(arguments.model)
    print(json.dumps({"model": str(arguments.model), "backbone": trained.backbone.name}))
    with ImageReader(arguments.images) as images, MaskReader(arguments.masks) as masks:
        judge = load_cam_network(arguments.judge or arguments.model).network
        erasing(trained, judge, images, masks, arguments.count)
    if arguments.judge is None:
        gradients(trained, arguments.images, arguments.crop, arguments.batch)


if __name__ == "__main__":
    main()
