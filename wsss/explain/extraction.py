"""Explanations of every image of a split, into a maps file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from wsss.attribution.build import Method, build_method
from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import psi
from wsss.attribution.recipe import AnyExplanation
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import Header, ImageReader, ImageRecord, MapWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.shard import Shard
from wsss.nn.cam_network import load_cam_network
from wsss.nn.inference import device, places_with_masks, ready
from wsss.nn.recipe import Backbone
from wsss.nn.transforms import normalise


def explain(
    recipe: AnyExplanation,
    model: Path,
    images: Path | Sequence[Path],
    *,
    masks: Path | None = None,
    shard: Shard = Shard(),
    threads: int,
    out: Path,
) -> None:
    """Write ψ of the method's maps of each image's classes to `out`: float16 in [0, 1].

    Maps have the resolution that the method gives them: of the network's last maps or of its
    input. Classes are the detected or the given ones, as the recipe says; an image without any
    gets no map.

    masks: the masks file whose images are meant by recipe.images "with-masks"; None for "all". Of
    it only the names of the images are read. shard: the part of these images that is meant.

    Raises UserError if the images' classes are not the model's, and where the method is not for
    such a network.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model)
    classifier = Classifier.of_cam_network(ready(trained.network))
    method = build_method(recipe, trained.backbone, trained.seed)
    with ImageReader(images) as reader:
        require_classes(
            reader,
            trained.classes,
            of=model,
            remedy="give images of the data set it was trained on",
        )
        labels = "given" if recipe.classes == "given" else f"detected above {recipe.detection:g}"
        about = {"image_labels": labels, "seed": trained.seed}
        tta = recipe.tta
        about["tta"] = {
            "scales": list(tta.scales) if tta else [1.0],
            "flip": bool(tta and tta.flip),
        }
        header = Header("maps", reader.header.split, trained.classes, recipe.to_json(), about)
        places = shard.part(places_with_masks(reader, masks, recipe.images))
        with MapWriter(out, header) as writer:
            bar = progress(
                _explanations(recipe, method, classifier, trained.backbone, reader, places),
                total=len(places),
                what=recipe.method,
            )
            for record, classes, maps in bar:
                writer.add(record.id, record.size, classes + 1, maps)


def _explanations(
    recipe: AnyExplanation,
    method: Method,
    classifier: Classifier,
    backbone: Backbone,
    reader: ImageReader,
    places: Sequence[int],
) -> Iterator[tuple[ImageRecord, np.ndarray, np.ndarray]]:
    """(image, its classes from 0, ψ of their maps) in the file's order."""
    size = recipe.batch_size if recipe.side else 1
    for start in range(0, len(places), size):
        records = [reader[i] for i in places[start : start + size]]
        x = network_input(records, backbone, recipe.side)
        selection: Bool[Tensor, "b c"] | float = recipe.detection
        if recipe.classes == "given":
            selection = torch.from_numpy(np.stack([r.labels for r in records]) > 0).to(x.device)
        found = method(classifier, x, selection)
        maps = psi(found.maps).cpu().numpy().astype(np.float16)
        image_of, classes = found.images.cpu().numpy(), found.classes.cpu().numpy()
        for i, record in enumerate(records):
            mine = image_of == i
            yield record, classes[mine], maps[mine]


def network_input(
    records: Sequence[ImageRecord], backbone: Backbone, side: int | None
) -> Float[Tensor, "b 3 H W"]:
    """Images as the network takes them, squares of `side` or, for one, of its own size."""
    tensors = []
    for record in records:
        image = decode(record.data)
        if side is not None:
            resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
            image = np.array(resized)
        tensors.append(normalise(image, backbone))
    return torch.stack(tensors).to(device(), memory_format=torch.channels_last)
