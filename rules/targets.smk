"""What `all`, `tables` and `galleries` ask for (wsss/workflow/targets.py)."""

from wsss.workflow import targets


rule all:
    default_target: True
    input:
        targets.all_evaluations(CONFIG),
        targets.all_tables(CONFIG),
        targets.all_galleries(CONFIG),
        targets.all_curves(CONFIG),
    message:
        "Everything that the configuration asks for."


rule tables:
    input:
        targets.all_tables(CONFIG),
    message:
        "The report tables."


rule galleries:
    input:
        targets.all_galleries(CONFIG),
    message:
        "The picture galleries."
