"""A mistake in a recipe ends a command before it loads torch, which takes ten seconds."""

import json
import re
import subprocess
import sys

PROGRAM = """
import json, sys
import typer
from wsss.cli import app
from wsss.core.log import log

def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command

WORDS = {"recipe": '{"no such key": 1}', "spec": '{"no such key": 1}', "split": "train"}
WORDS |= {"purpose": "evaluation", "seed": "1"}

found = {}
for path, command in commands(typer.main.get_command(app)):
    if not any(p.name in ("recipe", "spec") for p in command.params):
        continue
    arguments = []
    for parameter in command.params:
        if parameter.required or parameter.name in ("recipe", "spec"):
            arguments += [parameter.opts[-1], WORDS.get(parameter.name, "no-such-file")]
    try:
        command.main(arguments, standalone_mode=False)
        said = "nothing"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    heavy = sorted({"torch", "h5py", "lightning", "cv2", "matplotlib"} & set(sys.modules))
    found[" ".join(path)] = [said, heavy]
print(json.dumps(found))
"""


def test_every_command_checks_its_recipe_before_it_loads_torch():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 20
    for command, (said, heavy) in found.items():
        assert re.match(r"UserError: --(recipe|spec): ", said), (command, said)
        assert heavy == [], command
