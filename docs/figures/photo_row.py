"""The README's row of a photo: what a finished study's networks make of an image it never saw.

    python docs/figures/photo_row.py results/voc12-animals/seed0/vanilla/tta --photo chelsea.png \\
        --label cat --out docs/figures/photo-gallery.jpg

Run it where the study ran. Each stage's command is taken from the run card of its val file, with
the photo in place of the images. chelsea.png is a cat in scikit-image's data (CC0):

    pip download scikit-image==0.25.2 --no-deps
    unzip -j scikit_image-0.25.2-*.whl skimage/data/chelsea.png
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from wsss.core.files.run_card_file import card_path
from wsss.core.outputs import OUTPUTS, THRESHOLDED

STAGES = {
    "cam": "cam.val.h5",
    "walk": "none/rw/walk.val.h5",
    "pseudo": "none/rw/pseudo.val.h5",
    "prediction": "none/rw/deeplab/prediction.val.h5",
}
SIDE = 320  # as the study's images


def wsss(*words: str) -> None:
    """Run a command of wsss."""
    subprocess.run([sys.executable, "-m", "wsss", *words], check=True)


def data_set(folder: Path, photo: Path, label: str, classes: list[str]) -> Path:
    """An images file of split val that holds the photo alone, with its label."""
    (folder / "images").mkdir()
    image = Image.open(photo).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(folder / "images" / "photo.png")
    (folder / "labels.csv").write_text(f"image,labels\nphoto,{label}\n")
    (folder / "val.txt").write_text("photo\n")
    (folder / "train.txt").write_text("another\n")
    recipe = {"kind": "folder", "root": str(folder), "classes": classes}
    out = folder / "val.h5"
    wsss("data", "images", "--recipe", json.dumps(recipe), "--split", "val", "--out", str(out))
    return out


def main() -> None:
    """Make the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", type=Path, help="The study's folder of CAMs.")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    stages = {name: file for name, file in STAGES.items() if name in options.stages}
    cards = {
        name: json.loads(card_path(options.maps / file).read_text())
        for name, file in stages.items()
    }
    command = cards["cam"]["command"]
    images = command[command.index("--images") + 1]
    data = json.loads(card_path(images).read_text())["recipe"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new = {images: str(data_set(folder, options.photo, options.label, data["classes"]))}
        new |= {str(options.maps / file): str(folder / Path(file).name) for file in stages.values()}
        for stage in stages:
            words = cards[stage]["command"]
            start = words.index("--log") + 2 if "--log" in words else 0
            wsss(*(new.get(word, word) for word in words[start:]))
        columns = []
        for stage, file in stages.items():
            column = {"title": OUTPUTS[stage].title, "file": new[str(options.maps / file)]}
            if stage in THRESHOLDED:  # the outline at the threshold that train chose
                evaluation = file.replace(".val.h5", ".train.eval.json")
                column["threshold_from"] = str(options.maps / evaluation)
            columns.append(column)
        spec = {"recipe": {"images": 1, "split": "val"}, "images": new[images], "columns": columns}
        wsss("report", "gallery", "--spec", json.dumps(spec), "--out", str(folder / "row.png"))
        picture = io.BytesIO()
        Image.open(folder / "row.png").convert("RGB").save(picture, "JPEG", quality=88)
        options.out.write_bytes(picture.getvalue())


if __name__ == "__main__":
    main()
