"""A real Slurm of one node with two pretend GPUs, started for a session and stopped behind it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..workflow.conftest import ROOT, copied
from ..workflow.failures import until

SCRIPT = Path(__file__).parent / "cluster.sh"
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]
# By default CPU jobs ask for more cores than the node has.
SMALL = ["--max-threads", "2"]


def lacking() -> str:
    """Why there can be no Slurm here; "" if there can."""
    programs = [p for p in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(p)]
    if programs:
        return f"no {', '.join(programs)}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root"


def output(*command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class Cluster:
    """A running Slurm; `options` are what Snakemake needs to know of it."""

    def __init__(self, state: Path, accounting: bool):
        self.state, self.accounting = state, accounting
        self.options = [] if accounting else ["--slurm-status-command", "squeue"]

    def start_node(self) -> None:
        """Start the daemon of the node again, when it has been killed; nothing waits for it then.

        What Slurm could not tell the node while it was away it tells it first.
        """
        # Slurm's other files lie beside this one, not beside the link to it.
        environment = os.environ | {"SLURM_CONF": str(self.state / "slurm.conf")}
        subprocess.run(["slurmd"], env=environment, check=True, timeout=60)
        until(lambda: "idle" in output("sinfo", "--noheader", "--format=%t"))
        until(lambda: not re.search(r"^Agent .*: +[1-9]", output("sdiag"), re.M))

    def jobs(self) -> list[dict[str, str]]:
        """Every job since the start, as scontrol tells them."""
        shown = output("scontrol", "show", "job", "--oneliner")
        lines = [line for line in shown.splitlines() if "JobId=" in line]
        return [dict(w.split("=", 1) for w in line.split() if "=" in w) for line in lines]


@pytest.fixture(scope="session", params=["squeue", "sacct"])
def cluster(request, tmp_path_factory):
    """Without accounting, and with it."""
    if why := lacking():
        pytest.skip(why)
    accounting = request.param == "sacct"
    if accounting and not (shutil.which("slurmdbd") and shutil.which("mariadbd")):
        pytest.skip("no slurmdbd or mariadbd: apt-get install slurmdbd mariadb-server")
    state = Path("/tmp") / f"wsss-slurm-{os.getpid()}"  # short: sockets lie below
    extra = ["--accounting"] if accounting else []
    try:
        subprocess.run([SCRIPT, "start", state, *extra], check=True, timeout=1200)
        yield Cluster(state, accounting)
    finally:
        subprocess.run([SCRIPT, "stop", state], check=True, timeout=120)
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def study(cluster, tmp_path):
    """The workflow in a folder of its own, to be run by `snakemake --profile slurm`."""
    workflow = copied(tmp_path)
    (tmp_path / "slurm").symlink_to((ROOT / "slurm").readlink())
    workflow.options = ["--profile", "slurm", *cluster.options, *QUICK, *SMALL]
    return workflow
