"""A process that has loaded Snakemake, and forks for each plan that it is asked for.

Loading Snakemake takes most of a dry run's time. A fork starts with it, but without wsss, so that
each plan reads the code and the study of its folder as a process of its own would.

It reads one JSON request per line, {"arguments", "folder", "environment", "out", "err"}, writes
what Snakemake prints to the files `out` and `err`, and answers with the exit status.
"""

import json
import os
import sys

import snakemake.cli
import snakemake.dag
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


def main() -> None:
    """Answer until standard input ends."""
    assert "wsss" not in sys.modules
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            plan(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
