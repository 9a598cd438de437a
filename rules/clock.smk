"""What is done once before the first job."""

import sys

from wsss.workflow.clock import inputs_from_the_future


def hold_to_cores():
    """Count the threads of this machine's jobs, with `-j 4` too: at most four.

    With a number of jobs, as clusters have, and `cores: all` of profiles/default Snakemake does not.
    """
    if workflow.local_exec and workflow.nodes is not None:
        workflow.register_resource("_cores", workflow.resource_settings.cores)


onstart:
    hold_to_cores()
    if late := inputs_from_the_future(workflow.dag.needrun_jobs()):
        for file in late:
            print(
                f"error: {file}: dated in the future, a clock has jumped; set it right and touch "
                "the file",
                file=sys.stderr,
            )
        sys.exit(1)
