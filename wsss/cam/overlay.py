"""Pictures of maps laid over their images, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MapReader
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.maps import upsample


def export(
    maps: Sequence[Path], images: Sequence[Path], out: Path, ids: Sequence[str] = ()
) -> None:
    """Write out/<id>.<class>.png for each map, of the given ids or of all.

    Raises UserError for an id that one of the files does not hold, or that names no plain file.
    """
    with MapReader(maps) as map_reader, ImageReader(images) as image_reader:
        names = ("background", *map_reader.header.classes)
        chosen = list(ids) or map_reader.ids
        out.mkdir(parents=True, exist_ok=True)
        for image_id in progress(chosen, total=len(chosen), what="export"):
            record = map_reader[image_id]
            image = decode(image_reader[image_id].data)
            if image.shape[:2] != record.size:
                raise UserError(
                    f"{maps[0]}: maps of '{image_id}' belong to an image of size {record.size}, "
                    f"not {image.shape[:2]}; give the images that the maps were made from"
                )
            large = upsample(record.maps, record.size)
            for class_id, scores in zip(record.classes, large, strict=True):
                path = out / f"{image_id}.{names[class_id]}.png"
                if path.parent != out:
                    raise UserError(
                        f"'{image_id}' cannot name a file in {out}; leave it out by --id"
                    )
                Image.fromarray(overlay(image, scores)).save(path)


def overlay(
    image: UInt8[np.ndarray, "h w 3"], scores: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image under half of a colour map, dark blue at 0 to red at 1 (matplotlib's turbo)."""
    from matplotlib import colormaps

    colours = colormaps["turbo"](np.clip(scores, 0, 1).astype(np.float32), bytes=True)[..., :3]
    return ((image.astype(np.uint16) + colours) // 2).astype(np.uint8)
