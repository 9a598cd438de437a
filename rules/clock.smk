"""Refuses to start on inputs from the future, which a clock that jumped leaves behind.

Snakemake would run a job on them to its end, find its output older than its input, and delete it.
"""

import time

SKEW = 5  # seconds that clocks of one cluster may differ


def inputs_from_the_future(dag):
    """Files that jobs of this run read and none of them makes, dated later than now."""
    jobs = list(dag.needrun_jobs())
    made = {str(file) for job in jobs for file in job.output}
    read = {str(file) for job in jobs for file in job.input} - made
    limit = time.time() + SKEW
    return sorted(
        file
        for file in read
        if Path(file).exists() and Path(file).stat().st_mtime > limit
    )


onstart:
    hold_to_cores()
    if late := inputs_from_the_future(workflow.dag):
        for file in late:
            print(
                f"error: {file}: dated in the future, a clock has jumped; set it right and touch "
                "the file",
                file=sys.stderr,
            )
        sys.exit(1)
