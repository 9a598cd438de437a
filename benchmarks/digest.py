"""Code digests of every rule's module with and without what earlier commands kept, side by side.

    python benchmarks/digest.py [--rounds 5]

Prints the median seconds of processor time of each, in processes of their own, and their ratio.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from wsss.core.source_facts import NAME, STORE
from wsss.workflow.entry_modules import _command_lines, _modules

PROGRAM = """
import sys, time
from wsss.core.digest import code_digest
started = time.process_time()
for module in sys.argv[1:]:
    code_digest(module)
print(time.process_time() - started)
"""


def seconds(folder: Path, modules: list[str]) -> float:
    """Processor time of all digests in a new process that works in `folder`."""
    command = [sys.executable, "-c", PROGRAM, *modules]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Take turns, so that both see the machine in the same state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    lines = [_modules(file) for file in _command_lines().values()]
    modules = sorted({module for found in lines for module in found.values()})
    times: dict[str, list[float]] = {"nothing kept": [], "sources kept": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / STORE).mkdir()
        for _ in range(rounds):
            (folder / STORE / NAME).unlink(missing_ok=True)
            times["nothing kept"].append(seconds(folder, modules))
            times["sources kept"].append(seconds(folder, modules))
    medians = {what: statistics.median(found) for what, found in times.items()}
    for what, median in medians.items():
        sys.stdout.write(f"{what}: {median:.2f} s, {len(modules)} modules\n")
    sys.stdout.write(f"ratio: {medians['nothing kept'] / medians['sources kept']:.1f}\n")


if __name__ == "__main__":
    main()
