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


def learnt(graph):
    """What is trained, and every mask or map that something may be trained on."""
    made = [file for file in graph if file.endswith((".h5", ".safetensors"))]
    return [f for f in made if "/seed" in f and "/ground-truth/" not in f and ".crf-" not in f]


def test_no_pseudo_mask_descends_from_ground_truth(finished):
    graph = finished.graph()
    files = learnt(graph)
    assert any("/pseudo.train.h5" in f for f in files)
    assert any("/labels.train.h5" in f for f in files)
    assert any(f.endswith("deeplab/model.safetensors") for f in files)
    assert {f: truth_above(graph, f) for f in files if truth_above(graph, f)} == {}


def test_nothing_learns_from_files_made_for_evaluation(finished):
    graph = finished.graph()
    for file in learnt(graph):
        assert not [above for above in graph[file] if above.endswith(".json") or ".crf-" in above]


def test_the_walk_over_the_dag_would_find_a_leak(finished):
    graph = finished.graph()
    assert truth_above(graph, "results/toy/seed0/one/ground-truth/deeplab/model.safetensors") == {
        "results/toy/data/train.supervision.h5"
    }
    scores = truth_above(graph, "results/toy/seed0/one/single/cam.val.eval.json")
    assert scores == {"results/toy/data/train.masks.h5", "results/toy/data/val.masks.h5"}
    refined = truth_above(graph, "results/toy/seed0/one/single/cam.val.crf-labels.h5")
    assert refined == {"results/toy/data/train.masks.h5"}  # its threshold is chosen on train
    poisoned = graph | {
        "results/toy/seed0/one/single/none/rw/labels.train.h5": {"results/toy/data/train.masks.h5"}
    }
    assert truth_above(poisoned, "results/toy/seed0/one/single/none/rw/pseudo.train.h5")
