"""`shards: N`: the same images, maps, masks, networks and figures, whatever N is."""

import json
import re
import shutil

import pytest

from wsss.core.files.store import MapReader, MaskReader, file_kind

from .conftest import Workflow

pytestmark = [pytest.mark.xdist_group("workflow"), pytest.mark.slow]


@pytest.fixture(scope="module", params=[2])
def sharded(finished, request, tmp_path_factory):
    """A copy of the finished study, run to its end in shards beside the whole files."""
    folder = tmp_path_factory.mktemp("shards") / "copy"
    shutil.copytree(finished.folder, folder)
    seconds = {
        "kind": "seconds",
        "experiments": ["full", "salient"],
        "columns": ["cam", "saliency", "cam.crf-labels", "affinity"],
    }
    tables = finished.data["tables"] | {"seconds": seconds}
    data = finished.data | {"shards": request.param, "tables": tables}
    workflow = Workflow(folder, folder / finished.study.name, data)
    workflow.write(data)
    workflow.run_all()
    return workflow


def same(paths, whole):
    reader = MapReader if file_kind(whole) == "maps" else MaskReader
    a, b = reader(paths), reader(whole)
    assert (a.ids, a.sizes) == (b.ids, b.sizes)
    if reader is MapReader:
        assert all(
            (x.classes.tolist(), x.maps.tobytes()) == (y.classes.tolist(), y.maps.tobytes())
            for x, y in zip(a, b, strict=True)
        )
    else:
        assert all(x.tobytes() == y.tobytes() for (_, x), (_, y) in zip(a, b, strict=True))


def test_shards_hold_the_bytes_of_the_whole_in_its_order(finished, sharded):
    n, groups = sharded.data["shards"], {}
    for path in sorted((sharded.folder / "results").rglob("*.h5")):
        if found := re.fullmatch(rf"(.*)\.\d+-of-{n}\.h5", str(path)):
            groups.setdefault(found[1], []).append(path)
    names = {name.rpartition("/")[2] for name in groups}
    assert {"cam.train", "c2am.val", "saliency.train", "labels.train", "walk.val"} <= names
    assert {"c2am.masks.train", "pseudo.train", "prediction.val", "cam.val.crf-labels"} <= names
    for name, paths in groups.items():
        assert len(paths) == n
        whole = finished.folder / f"{name}.h5".removeprefix(f"{sharded.folder}/")
        same(paths, whole)


def test_networks_and_figures_are_the_same(finished, sharded):
    for path in (sharded.folder / "results").rglob("*.safetensors"):
        whole = finished.folder / path.relative_to(sharded.folder)
        assert path.read_bytes() == whole.read_bytes(), path
    compared = 0
    for path in (sharded.folder / "results").rglob("*.eval.json"):
        mine, theirs = (
            json.loads(p.read_text())
            for p in (path, finished.folder / path.relative_to(sharded.folder))
        )
        assert mine["metrics"] == theirs["metrics"], path
        compared += len(mine["evaluated"]["files"]) > 1
    assert compared > 10
    seconds = (sharded.folder / "results/tables/seconds.csv").read_text()
    assert re.search(r"^salient,saliency,seconds,[\d.]+", seconds, re.M)
    assert sharded.planned("all") == set()
