"""What an edit reruns: the stage's jobs and their descendants, and nothing else."""

import copy
import json
import re
import shlex

import pytest

from wsss.core.errors import UserError
from wsss.workflow.loading import parse

from .conftest import Planner

pytestmark = [pytest.mark.xdist_group("workflow"), pytest.mark.slow]

# Which outputs a recipe (or a part of it) makes by itself, as a pattern over the results tree.
OWNERS = {
    ("dataset", "toy"): r"results/toy/data/.*",
    # two extends one
    ("classifier", "one"): r".*/seed0/(one|two)/(model\.safetensors|history\.csv)",
    ("classifier", "two"): r".*/seed0/two/(model\.safetensors|history\.csv)",
    ("cam", "single"): r".*/single/cam\.(train|val)\.h5",
    ("crf", "labels"): r".*\.crf-labels\.h5",
    ("crf", "scores"): r".*\.crf-scores\.h5",
    ("saliency", "c2am-h", "c2am"): r".*/c2am-h/c2am\.safetensors",
    ("saliency", "c2am-h", "maps"): r".*/c2am-h/c2am\.(train|val)\.h5",
    ("saliency", "c2am-h", "masks"): r".*/c2am-h/c2am\.masks\.train\.h5",
    ("saliency", "c2am-h", "network"): r".*/c2am-h/network\.safetensors",
    ("saliency", "c2am-h", "predict"): r".*/c2am-h/saliency\.(train|val)\.h5",
    ("affinity", "rw", "labels"): r".*/rw/labels\.train\.h5",
    ("affinity", "rw", "network"): r".*/rw/model\.safetensors",
    ("affinity", "rw", "walk"): r".*/rw/walk\.(train|val)\.h5",
    ("affinity", "rw", "pseudo"): r".*/rw/pseudo\.(train|val)\.h5",
    ("affinity", "direct", "pseudo"): r".*/direct/pseudo\.(train|val)\.h5",
    ("segmentation", "deeplab", "train"): r".*/deeplab/model\.safetensors",
    ("segmentation", "deeplab", "predict"): r".*/deeplab/prediction\.(train|val)\.h5",
    ("explain", "masked", "maps"): r".*/masked/explained\.(train|val)\.h5",
    ("explain", "masked", "metrics"): r".*/masked/explain\.val\.(csv|eval\.json)",
    ("explain", "masked", "localization"): r".*/masked/localization\.(train|val)\.eval\.json",
    ("evaluation",): r".*/(?!model\.|explain\.|localization\.)[^/]*\.eval\.json",
    ("tables", "stages"): r"results/tables/stages\..*",
    ("galleries",): r"results/galleries/.*",
}

# Other values of fields that the generic rule cannot guess.
OTHER = {
    "name": {"resnet10t": "resnet14t", "sgd": "adamw", "adamw": "sgd"},
    "weights": {"classifier": "weights.safetensors"},
    "output_stride": {16: 8},
    "preset": {"labels": "afa", "probabilities": "afa", "deeplab-v2": "afa"},
    "precision": {"32": "bf16"},
    "batch_norm": {"train": "frozen", "frozen": "train"},
    "select": {"spread": "worst"},
    "predicted_ignore": {"error": "background"},
    "metric": {"miou": "f1"},
    "keep": {"last": "best-val-map"},
    "class_weights": {"none": "inverse-frequency"},
    "unlabelled": {"negative": "skip"},
    "sampling": {"random": "focal"},
    "normalise": {"batch": "image"},
    "order": {"relu-upsample": "upsample-relu"},
    "tiles": {4: 16},
    "architecture": {"unet": "poolnet"},
    "classes": {"detected": "given"},
    "weight": {"sigmoid": "logit"},
    "baseline": {"rise": "blur"},
}
# Fields without another value here, each with its reason.
ONE_VALUE = {
    "kind": "another kind is another recipe",
    "method": "another method is another recipe",
    "objective": "another objective is another recipe",
    "ordinary": "another one is another training, which the study has not",
    "architecture": "DeepLabV3+ is the only one for segmentation",
    "saliency_background": "leaves no curve; edited in a test of its own",
    "images": "with-masks excludes the affinity, which the study has",
    "unary": "decided by the file that is refined",
    "alpha": "belongs to another unary",
    "threshold_on": "excludes threshold, which is edited elsewhere",
    "nesterov": "needs a momentum, which is edited",
    "momentum": "AdamW has none; that of SGD is edited",
    "pairwise": "excludes preset, which is edited",
    "percentile": "excludes percentiles, which is edited",
    "experiments": "another row is another table",
    "split": "asks for files that the study has not",
    "baseline": "null: edited as a whole would name a row",
}


def descendants(graph: dict[str, set[str]], roots: set[str]) -> set[str]:
    """The roots and every output that is made from them, directly or not."""
    found = set(roots)
    while True:
        more = {out for out, inputs in graph.items() if inputs & found} - found
        if not more:
            return found
        found |= more


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def candidates(value):
    """Other values of a field, most plausible first."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2, value + 16]
    if isinstance(value, float):
        return [value * 0.9, value + 0.01, value - 0.01, 0.5]
    if isinstance(value, str):
        return [value + " x"]
    if isinstance(value, list) and value:
        return [value[:-1], [*value[:-1], *candidates(value[-1])[:1]], [*value, value[-1]]]
    return []


def put(data, path, value):
    edited = copy.deepcopy(data)
    node = edited
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    return edited


def edits(data):
    """(owner, path, edited study) for each field of each recipe, one changed at a time."""
    config = parse(data)
    plain = config.model_dump(mode="json")
    for owner in OWNERS:
        node = plain
        for key in owner:
            node = node[key]
        for inner, value in leaves(node):
            path = (*owner, *inner)
            known = OTHER.get(path[-1], {})
            listed = isinstance(value, str | int) and value in known
            values = [known[value]] if listed else candidates(value)
            for other in values:
                edited = put(data, path, other)
                try:
                    changed = parse(edited)
                except UserError:
                    continue
                if changed != config:
                    yield owner, path, edited
                    break


def test_every_field_is_edited_or_excused(finished):
    plain = parse(finished.data).model_dump(mode="json")
    tried = {path for _, path, _ in edits(finished.data)}
    every = {}
    for owner in OWNERS:
        node = plain
        for key in owner:
            node = node[key]
        every |= {(*owner, *inner): value for inner, value in leaves(node)}
    untried = {path: value for path, value in every.items() if path not in tried}
    # A null that is set would be another kind of recipe: other weights, kernels, a baseline.
    excused = {path for path, value in untried.items() if path[-1] in ONE_VALUE or value is None}
    assert set(untried) - excused == set()
    assert len(tried) > 100


def test_each_field_reruns_its_stage_and_what_follows(finished):
    (finished.folder / "weights.safetensors").touch()
    graph = finished.graph()
    untouched = parse(finished.data).classifier["two"]
    plans = Planner(code=finished.folder)  # only recipes change
    wrong = {}
    for owner, path, edited in edits(finished.data):
        finished.write(edited)
        roots = {file for file in graph if re.fullmatch(OWNERS[owner], file)}
        if owner[:2] == ("classifier", "one") and parse(edited).classifier["two"] == untouched:
            roots -= {file for file in roots if "/two/" in file}  # it has a value of its own
        if path[-1] == "predicted_ignore":  # affinity labels skip 255 whatever it says
            roots -= {file for file in roots if file.endswith("labels.train.eval.json")}
        assert roots, owner
        planned = finished.planned("all", by=plans)
        expected = descendants(graph, roots)
        if planned != expected:
            wrong[".".join(path)] = {
                "not planned": sorted(expected - planned),
                "planned besides": sorted(planned - expected),
            }
    plans.close()
    finished.write(finished.data)
    assert not wrong, json.dumps(wrong, indent=1)


def test_an_unchanged_study_has_nothing_to_do(finished):
    assert finished.planned("all") == set()
    done = finished.snakemake("--cores", "1", "all")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_order_of_keys_and_comments_rerun_nothing(finished):
    def backwards(value):
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return value

    finished.write(backwards(finished.data))
    finished.study.write_text("# a comment\n" + finished.study.read_text())
    assert finished.planned("all") == set()
    finished.write(finished.data)


def test_writing_out_a_default_reruns_nothing(finished):
    finished.write(put(finished.data, ("cam", "single", "map_stride"), 4))
    assert finished.planned("all") == set()
    finished.write(finished.data)


def test_another_number_of_gpus_reruns_nothing(finished):
    finished.write(finished.data | {"training_gpus": 2})
    planned = finished.planned("all")
    place = "results/toy/seed0"
    models = [f"{place}/{name}/model.safetensors" for name in ("one", "two")]
    dry = finished.plan("--dry-run", "--printshellcmds", "--forcerun", *models)
    finished.write(finished.data)
    assert planned == set()
    asked = {out: gpus for gpus, out in re.findall(r"--gpus (\d) .*--out (\S+)", dry.stdout)}
    assert set(asked.values()) == {"2"}
    assert set(asked) > {
        *models,
        f"{place}/one/single/c2am-h/c2am.safetensors",
        f"{place}/one/single/none/rw/model.safetensors",
        f"{place}/one/single/none/rw/deeplab/model.safetensors",
        f"{place}/one/single/c2am-h/network.safetensors",
    }


def test_how_saliency_is_the_background_concerns_one_evaluation(finished):
    graph = finished.graph()
    finished.write(put(finished.data, ("evaluation", "saliency_background"), "soft"))
    priors = {out for out in graph if re.fullmatch(r".*/cam\+saliency\..*\.eval\.json", out)}
    assert len(priors) == 2
    curves = {out for out in graph if out.endswith(".curve.png") and "cam+saliency" in out}
    assert finished.planned("all") == descendants(graph, priors) - curves
    finished.write(finished.data)


def test_a_new_experiment_makes_only_what_it_does_not_share(finished):
    recipes = put(finished.data, ("cam", "flipped"), {"extends": "single", "flip": True})
    chosen = {"dataset": "toy", "classifier": "one", "cam": "flipped"}
    finished.write(put(recipes, ("experiments", "new"), chosen))
    planned = finished.planned("all")
    assert planned
    assert all("/one/flipped/" in f or "galleries/new." in f for f in planned)
    finished.write(finished.data)


def spec_of(command):
    """The specification that a printed report command gets on standard input."""
    words = shlex.split(command)
    return json.loads(words[words.index("%s") + 1])


def test_a_network_with_a_teacher_shares_its_c2am(finished):
    network = finished.data["saliency"]["c2am-h"]["network"]
    pupil = put(finished.data, ("saliency", "pupil"), {"teacher": "c2am-h", "network": network})
    chosen = {"dataset": "toy", "classifier": "one", "cam": "single", "saliency": "pupil"}
    data = put(pupil, ("experiments", "taught"), chosen)
    for table in ("stages", "taught"):
        data = put(data, ("tables", table, "experiments"), ["salient", "taught"])
    seconds = {"kind": "seconds", "experiments": ["salient", "taught"], "columns": ["saliency"]}
    finished.write(put(data, ("tables", "seconds"), seconds))
    dry = finished.plan("--dry-run", "--printshellcmds", "all")
    refused = finished.plan("--dry-run", "results/toy/seed0/one/single/pupil/c2am.train.h5")
    finished.write(finished.data)

    place = "results/toy/seed0/one/single"
    made = finished.made_by(dry)
    assert {f"{place}/pupil/{file}" for file in ("network.safetensors", "saliency.val.h5")} < made
    assert not any("c2am." in file for file in made)  # it has all of the teacher's files
    commands = [line for line in dry.stdout.splitlines() if "python -m wsss" in line]
    train = next(line for line in commands if f"--out {place}/pupil/network.safetensors" in line)
    assert f"--masks {place}/c2am-h/c2am.masks.train.h5" in train
    cells = {}
    for table in ("stages", "taught", "seconds"):
        command = next(line for line in commands if f"{table}.csv" in line)
        cells[table] = {row["name"]: row["cells"] for row in spec_of(command)["rows"]}
    assert cells["stages"]["taught"]["c2am:mae"] == cells["stages"]["salient"]["c2am:mae"] != []
    assert cells["stages"]["taught"]["saliency"] == [f"{place}/pupil/saliency.val.eval.json"]
    teacher = [f"{place}/c2am-h/c2am.masks.train.eval.json"]
    assert cells["taught"]["taught"]["c2am.masks"] == teacher
    assert cells["taught"]["salient"]["c2am.masks"] == teacher
    (jobs,) = cells["seconds"]["taught"]["saliency"]
    assert {file.removeprefix(place).removesuffix(".benchmark.tsv") for file in jobs} == {
        *(f"/c2am-h/log/{job}" for job in ("c2am", "c2am.train", "c2am.masks.train")),
        *(f"/pupil/log/{job}" for job in ("network", "saliency.train")),
    }
    assert refused.returncode and "has no part 'c2am'" in refused.stderr + refused.stdout


CODE = {
    "wsss/saliency/losses.py": r".*/c2am-h/c2am\.safetensors",
    "wsss/affinity/walk.py": r".*/rw/walk\.(train|val)\.h5",
    "wsss/evaluation/measures.py": OWNERS[("evaluation",)],
    "wsss/report/render.py": r"results/tables/.*\.(csv|md|tex)",
    "wsss/report/drawing.py": r"results/galleries/.*",
    "wsss/cam/cli.py": "nothing",
    "wsss/core/log.py": "nothing",
}


@pytest.mark.parametrize("module", CODE)
def test_a_change_of_code_reruns_its_users_and_what_follows(finished, module):
    graph = finished.graph()
    file = finished.folder / module
    before = file.read_text()
    try:
        file.write_text(before + "\n\n# a comment\n")
        assert finished.planned("all") == set()
        file.write_text(before + "\n\nEXTRA = 1\n")
        roots = {out for out in graph if re.fullmatch(CODE[module], out)}
        assert finished.planned("all") == descendants(graph, roots)
        finished.write(finished.data | {"track_code": False})
        assert finished.planned("all") == set()
        stale = finished.wsss("status").stdout
        assert all((root in stale) for root in roots)
        assert ("0 outputs" in stale) == (not roots)
    finally:
        file.write_text(before)
        finished.write(finished.data)
    assert finished.planned("all") == set()


def test_each_rule_names_the_module_that_its_run_cards_name(finished):
    for card_file in (finished.folder / "results").rglob("*.run.json"):
        card = json.loads(card_file.read_text())
        text = "".join(file.read_text() for file in (finished.folder / "rules").glob("*.smk"))
        assert f'"{card["entry"]}"' in text, card_file


def test_a_deleted_intermediate_is_rebuilt_alone(finished):
    file = "results/toy/seed0/one/single/none/rw/labels.train.h5"
    before = (finished.folder / file).read_bytes()
    (finished.folder / file).unlink()
    done = finished.run("--cores", "2", "--printshellcmds", file)
    assert done.returncode == 0, done.stderr
    assert finished.made_by(done) == {file}
    assert (finished.folder / file).read_bytes() == before
    assert finished.planned("all") == set()


def move_module(folder, old, new):
    """Move a module of the copied package, and rename it wherever it is named."""
    for file in [*folder.glob("wsss/**/*.py"), *folder.glob("rules/*.smk")]:
        text = file.read_text()
        if old in text:
            file.write_text(text.replace(old, new))
    path = {name: folder.joinpath(*name.split(".")).with_suffix(".py") for name in (old, new)}
    path[old].rename(path[new])


def test_outputs_survive_a_move_of_their_module_once_they_are_accepted(finished):
    graph = finished.graph()
    walks = {out for out in graph if re.fullmatch(r".*/rw/walk\.(train|val)\.h5", out)}
    curves = {out for out in graph if out.endswith("history.png")}
    curve = min(curves)
    moves = {
        "wsss.affinity.walk_maps": "wsss.affinity.walking",
        "wsss.classifier.curve": "wsss.classifier.learning_curve",
    }
    cards = {f: f.read_text() for f in (finished.folder / "results").rglob("*.run.json")}
    try:
        for old, new in moves.items():
            move_module(finished.folder, old, new)
        assert finished.planned("all") == descendants(graph, walks | curves)
        for stage, outputs in (("classifier", curves), ("affinity", walks)):
            said = finished.wsss("status", "--stage", stage, "--accept").stdout
            assert set(re.findall(r"(\S+)\taccepted: ", said)) == outputs
        assert finished.wsss("status").stdout.startswith("0 outputs made by other code")
        assert finished.planned("all") == set()

        # An accepted output that is made again is not planned a second time.
        again = finished.run("--cores", "2", "--forcerun", curve, "--", curve)
        assert again.returncode == 0, again.stderr
        made = (finished.folder / curve).parent / "log" / "history.png.run.json"
        assert "accepted" not in json.loads(made.read_text())
        assert finished.planned("all") == set()

        # Code that changes after it was accepted counts again.
        file = finished.folder / "wsss" / "affinity" / "walking.py"
        file.write_text(file.read_text() + "\n\nEXTRA = 1\n")
        assert finished.planned("all") == descendants(graph, walks)
        file.write_text(file.read_text().removesuffix("\n\nEXTRA = 1\n"))
    finally:
        for old, new in moves.items():
            move_module(finished.folder, new, old)
        for file, text in cards.items():
            file.write_text(text)
    assert finished.planned("all") == set()
