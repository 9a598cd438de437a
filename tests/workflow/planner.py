"""A process that has loaded Snakemake, and forks for each plan that it is asked for.

Loading Snakemake takes most of a dry run's time. A fork starts with it, but without wsss, so that
each plan reads the code and the study of its folder as a process of its own would. With a folder
as argument it has also loaded the wsss of that folder, for plans between which no code changes.

It reads one JSON request per line, {"arguments", "folder", "environment", "out", "err"}, writes
what Snakemake prints to the files `out` and `err`, and answers with the exit status.
"""

import importlib
import json
import os
import pkgutil
import sys

import pydantic  # noqa: F401
import smart_open  # noqa: F401
import snakemake.cli
import snakemake.dag
import snakemake.storage
import snakemake.workflow


def plan(request: dict) -> None:
    """Become Snakemake with these arguments, and end as it ends."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for stream, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # As `python -m snakemake` has it: the folder, then PYTHONPATH.
    sys.path[:0] = [request["folder"], *request["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["snakemake", *request["arguments"]]
    status = 1
    try:
        snakemake.cli.main(request["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def load(folder: str) -> None:
    """Load what a folder's Snakefile imports of wsss."""
    sys.path.insert(0, folder)
    package = importlib.import_module("wsss.workflow")
    assert package.__file__.startswith(folder)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"wsss.workflow.{module.name}")


def main() -> None:
    """Answer until standard input ends."""
    snakemake.cli.get_argument_parser()  # loads the plugins
    assert "wsss" not in sys.modules
    if len(sys.argv) > 1:
        load(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            plan(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
