"""What `all` asks for, and the files behind tables, their curves, and galleries."""

from wsss.report.recipe import CLASSIFIER, THRESHOLDED
from wsss.report.spec import packed


def runs():
    """Every (name, experiment, seed) of the configuration."""
    for name, experiment in CONFIG.experiments.items():
        for seed in CONFIG.seeds:
            yield name, experiment, seed


def chosen(section, name):
    """A named part of the configuration; a clear error if there is none."""
    known = getattr(CONFIG, section)
    if name not in known:
        hint = did_you_mean(name, list(known))
        raise WorkflowError(f"config: {section} has no '{name}'{hint}")
    return known[name]


def is_direct(experiment):
    """Whether its pseudo masks come straight from the CAMs, without a random walk."""
    recipe = CONFIG.affinity.get(experiment.affinity)
    return recipe is not None and recipe.method == "direct"


def makes(experiment, name):
    """Whether the experiment's recipes make a file of this name, where it has the stage."""
    if name in ("labels", "walk"):
        return not is_direct(experiment)
    if name in ("saliency", "c2am.masks") and experiment.saliency != "none":
        return CONFIG.saliency[experiment.saliency].network is not None
    return True


def maker(experiment, name):
    """The experiment in whose folders a file of this name is: C²AM's may be a teacher's."""
    if name in ("c2am", "c2am.masks"):
        return wsss_config.with_c2am(CONFIG, experiment)
    return experiment


def judged(experiment, column, split):
    """Whether the data set has the masks that a column's evaluation needs."""
    if column in (CLASSIFIER, "explain"):
        return True  # by labels, and by the classifier itself
    data = CONFIG.dataset[experiment.dataset]
    name, _, preset = column.partition(".crf-")
    by_train = name in THRESHOLDED and has_curve(name)
    if preset:
        by_train = CONFIG.crf[preset].threshold_on == "train"
    if column == "localization" and experiment.explain:
        localization = CONFIG.explain[experiment.explain].localization
        by_train = localization.percentiles is not None
    splits = {split, "train"} if by_train else {split}
    return all(data.masks_for(part, "evaluation") for part in splits)


def made(experiment, seed, column, split):
    """The eval.json that a column would have, or None where nothing makes its file."""
    name = column.partition(".crf-")[0]
    if not makes(experiment, name) or (name in tree.OF_TRAIN and split != "train"):
        return None
    return tree.evaluated(maker(experiment, name), seed, column, split)


def evaluated(experiment, seed, column, split):
    """The eval.json of a column, or None where nothing makes it or no masks judge it."""
    if not judged(experiment, column, split):
        return None
    return made(experiment, seed, column, split)


def evaluations(columns, splits=("train", "val")):
    """The eval.json files of these columns for every run."""
    columns = list(columns)
    found = {
        evaluated(experiment, seed, column, split)
        for _, experiment, seed in runs()
        for column in columns
        if wanted(experiment, column)
        for split in splits
    }
    return sorted(found - {None})


def last_files():
    """Each run's last file of val: what there is to ask for where no masks judge it."""
    for _, experiment, seed in runs():
        for name, stage in reversed(tree.MAKERS.items()):
            place = tree.folder(experiment, seed, stage)
            if place and name != "labels" and makes(experiment, name):
                yield from parts(f"{place}/{name}.val")
                break


def wanted(experiment, column):
    """Whether `all` evaluates a column: of explanations, mIoU only where a table shows theirs."""
    if column != "explained":
        return True
    return any(
        experiment in [CONFIG.experiments[row] for row in table.experiments]
        and "explained"
        in [table.column(c).file.partition(".")[0] for c in table.columns]
        for table in CONFIG.tables.values()
        if table.kind == "metrics"
    )


def all_evaluations():
    priors = evaluations([*THRESHOLDED, *tree.OF_TRAIN, "pseudo"])
    reported = evaluations(
        [CLASSIFIER, "prediction", "explain", "localization"], ["val"]
    )
    return priors + reported + sorted(set(last_files()))


def all_tables():
    return expand(
        "results/tables/{table}.{kind}", table=CONFIG.tables, kind=("csv", "md", "tex")
    )


def all_galleries():
    """A picture of each run, and of each table with explanations."""
    split = CONFIG.galleries.split
    return [
        f"results/galleries/{name}.seed{seed}.{split}.png" for name, _, seed in runs()
    ] + [
        f"results/tables/{name}.seed{seed}.{split}.png"
        for name in filter(compared, CONFIG.tables)
        for seed in CONFIG.seeds
    ]


def all_curves():
    """Of each run, threshold curves, learning curves, class weights; of each table, its maps' curves."""
    thresholds = evaluations(filter(has_curve, THRESHOLDED))
    places = {tree.folder(e, seed, "classifier") for _, e, seed in runs()} - {None}
    explained = {tree.folder(e, s, "classifier") for _, e, s in runs() if e.explain}
    return [
        *(file.removesuffix(".eval.json") + ".curve.png" for file in thresholds),
        *(f"{place}/history.png" for place in sorted(places)),
        *(f"{place}/explain/class-weights.png" for place in sorted(explained)),
        *(f"results/tables/{name}.curves.png" for name in CONFIG.tables if drawn(name)),
    ]


def left_out(experiment, stage):
    """Jobs of a stage that the experiment's recipe has no use for."""
    if stage == "affinity" and is_direct(experiment):
        return tree.WITHOUT_WALK
    if stage == "saliency" and experiment.saliency != "none":
        saliency = CONFIG.saliency[experiment.saliency]
        if saliency.teacher:
            return tree.C2AM
        return () if saliency.network else (tree.MASKS, *tree.NETWORK)
    return ()


def cell_files(table, experiment, seed, column):
    """What a table cell of one seed is read from: an eval.json, or the benchmark files of jobs."""
    if table.kind == "metrics":
        return evaluated(experiment, seed, table.column(column).file, table.split)
    if ".crf-" in column:
        name = column.partition(".crf-")[0]
        if not makes(experiment, name):
            return []
        return tree.timed_crf(
            maker(experiment, name), seed, column, table.split, SHARDS
        )
    if column == "classifier" and experiment.classifier:
        # With the ordinary classifiers that its training needs first.
        needed = wsss_config.classifiers(CONFIG, experiment.classifier)
        return [
            file
            for name in needed
            for file in tree.timed(
                experiment.model_copy(update={"classifier": name}),
                seed,
                column,
                SHARDS,
            )
        ]
    files = tree.timed(
        experiment, seed, column, SHARDS, left_out=left_out(experiment, column)
    )
    if column == "saliency" and maker(experiment, "c2am") != experiment:
        files += tree.timed(
            maker(experiment, "c2am"), seed, column, SHARDS, left_out=tree.NETWORK
        )
    return files


def table_rows(name):
    """[(experiment, {column: [file or files of each seed]})] of a table."""
    table = chosen("tables", name)
    rows = []
    for row in table.experiments:
        experiment = CONFIG.experiments[row]
        cells, unjudged = {}, []
        for column in table.columns:
            files = [
                cell_files(table, experiment, seed, column) for seed in CONFIG.seeds
            ]
            if any(files):
                cells[column] = files
            elif table.kind == "metrics":
                shown = table.column(column).file
                if made(experiment, CONFIG.seeds[0], shown, table.split):
                    unjudged.append(column)
        rows.append({"name": row, "cells": cells, "unjudged": unjudged})
    return rows


def table_files(wildcards):
    cells = [
        file for row in table_rows(wildcards.table) for file in row["cells"].values()
    ]
    return list(dict.fromkeys(flatten(cells)))  # columns may show one file's metrics


def flatten(value):
    return (
        [item for part in value for item in flatten(part)]
        if isinstance(value, list)
        else [value]
    )


def table_spec(wildcards):
    """A param: the table's recipe and the files of its cells, as canonical JSON, packed if long."""
    table = chosen("tables", wildcards.table).model_dump(mode="json")
    spec = {"recipe": table, "rows": table_rows(wildcards.table)}
    return packed(canonical_json(spec))


def has_curve(maps):
    """Whether the evaluation of maps is a curve; soft saliency as the background leaves none."""
    soft = CONFIG.evaluation.saliency_background == "soft"
    return not (maps == "cam+saliency" and soft)


def curve_rows(name):
    """[(experiment, {"cam", "walk", …: [eval.json of each seed]})] of a table's maps."""
    table = chosen("tables", name)
    shown = {table.column(column).file for column in table.columns}
    rows = []
    for row in table.experiments if table.kind == "metrics" else ():
        experiment = CONFIG.experiments[row]
        files = {
            maps: [
                evaluated(experiment, seed, maps, table.split) for seed in CONFIG.seeds
            ]
            for maps in THRESHOLDED
            if maps in shown and has_curve(maps)
        }
        files = {maps: listed for maps, listed in files.items() if any(listed)}
        rows.append({"name": row, "files": files})
    return rows


def drawn(name):
    """Whether a table has threshold curves."""
    return any(row["files"] for row in curve_rows(name))


def curve_files(wildcards):
    return flatten([list(row["files"].values()) for row in curve_rows(wildcards.table)])


def curves_spec(wildcards):
    """A param: the table's recipe and the evaluations of its maps, likewise."""
    table = chosen("tables", wildcards.table).model_dump(mode="json")
    spec = {"recipe": table, "rows": curve_rows(wildcards.table)}
    return packed(canonical_json(spec))


def gallery_columns(wildcards):
    """What a gallery shows beside image and ground truth: one column a stage."""
    experiment = chosen("experiments", wildcards.experiment)
    seed, split = int(wildcards.seed), wildcards.split
    saliency = CONFIG.saliency.get(maker(experiment, "c2am").saliency)
    hints = saliency.c2am.hints if saliency else None
    titles = {
        "cam": "CAM",
        "explained": experiment.explain,
        "c2am": "C²AM-H" if hints else "C²AM",
        "labels": "affinity labels",
        "walk": "random walk",
        "pseudo": "pseudo mask",
    }
    columns = []
    for name, stage in tree.MAKERS.items():
        place = tree.folder(maker(experiment, name), seed, stage)
        if place is None or not makes(experiment, name):
            continue
        if name in tree.OF_TRAIN and split != "train":
            continue
        file = parts(f"{place}/{name}.{split}")
        column = {"title": titles.get(name, name), "file": file}
        if (
            name in THRESHOLDED
            and wanted(experiment, name)
            and evaluated(experiment, seed, name, split)
        ):
            column["threshold_from"] = f"{place}/{name}.{split}.eval.json"
        columns.append(column)
        if name == "cam" and hints and split == "train":
            columns.append({"title": "hints", "file": file, "above": hints.threshold})
    return columns


def comparison_columns(wildcards):
    """What a table's picture shows beside image and ground truth: a column a row's maps."""
    seed, split = int(wildcards.seed), wildcards.split
    columns = []
    for name in chosen("tables", wildcards.table).experiments:
        experiment = CONFIG.experiments[name]
        place = tree.folder(experiment, seed, "explain")
        if place is None:
            continue
        column = {"title": name, "file": parts(f"{place}/explained.{split}")}
        if wanted(experiment, "explained") and evaluated(
            experiment, seed, "explained", split
        ):
            column["threshold_from"] = f"{place}/explained.{split}.eval.json"
        columns.append(column)
    return columns


def compared(name):
    """Whether a table's rows have explanations of one data set, to be seen side by side."""
    rows = [CONFIG.experiments[row] for row in CONFIG.tables[name].experiments]
    explained = [row for row in rows if row.explain]
    return len(explained) > 1 and len({row.dataset for row in explained}) == 1


def drawn_experiment(wildcards):
    """An experiment on the data set of a gallery's, or of a comparison's, images."""
    if wildcards.get("table") is None:
        return chosen("experiments", wildcards.experiment)
    rows = [
        CONFIG.experiments[row] for row in CONFIG.tables[wildcards.table].experiments
    ]
    return next(row for row in rows if row.explain)


def drawn_columns(wildcards):
    if wildcards.get("table") is None:
        return gallery_columns(wildcards)
    return comparison_columns(wildcards)


def gallery_truth(wildcards):
    dataset = drawn_experiment(wildcards).dataset
    if not CONFIG.dataset[dataset].masks_for(wildcards.split, "evaluation"):
        return None
    return f"results/{dataset}/data/{wildcards.split}.masks.h5"


def gallery_images(wildcards):
    return f"results/{drawn_experiment(wildcards).dataset}/data/{wildcards.split}.h5"


def gallery_files(wildcards):
    columns = drawn_columns(wildcards)
    files = [file for column in columns for file in column["file"]]
    files += [column.get("threshold_from") for column in columns]
    wanted = (gallery_images(wildcards), gallery_truth(wildcards), *files)
    return [file for file in dict.fromkeys(wanted) if file]


def gallery_spec(wildcards):
    """A param: the gallery's recipe and the files of its columns, likewise."""
    spec = {
        "recipe": CONFIG.galleries.model_dump(mode="json") | {"split": wildcards.split},
        "images": gallery_images(wildcards),
        "ground_truth": gallery_truth(wildcards),
        "columns": drawn_columns(wildcards),
    }
    return packed(canonical_json(spec))
