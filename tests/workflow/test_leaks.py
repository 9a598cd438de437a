"""Ground truth reaches evaluation, pictures, and the recipes that ask for it: nothing else."""

import pytest

pytestmark = pytest.mark.xdist_group("workflow")

TRUTH = (".masks.h5", ".supervision.h5")


def truth_above(graph, file):
    found, todo = set(), [file]
    while todo:
        for above in graph.get(todo.pop(), set()):
            if above not in found:
                found.add(above)
                todo.append(above)
    return {above for above in found if above.endswith(TRUTH)}


def test_no_pseudo_mask_descends_from_ground_truth(finished):
    graph = finished.graph()
    made = [file for file in graph if file.endswith((".h5", ".safetensors"))]
    learnt = [f for f in made if "/seed" in f and "/ground-truth/" not in f]
    assert any("/pseudo.train.h5" in f for f in learnt)
    assert any(f.endswith("deeplab/model.safetensors") for f in learnt)
    assert {f: truth_above(graph, f) for f in learnt if truth_above(graph, f)} == {}


def test_the_walk_over_the_dag_would_find_a_leak(finished):
    graph = finished.graph()
    assert truth_above(graph, "results/toy/seed0/one/ground-truth/deeplab/model.safetensors") == {
        "results/toy/data/train.supervision.h5"
    }
    scores = truth_above(graph, "results/toy/seed0/one/single/cam.val.eval.json")
    assert scores == {"results/toy/data/train.masks.h5", "results/toy/data/val.masks.h5"}
    poisoned = graph | {
        "results/toy/seed0/one/single/none/rw/labels.train.h5": {"results/toy/data/train.masks.h5"}
    }
    assert truth_above(poisoned, "results/toy/seed0/one/single/none/rw/pseudo.train.h5")
