"""The tables and the galleries, without what else `all` asks for (wsss/workflow/targets.py)."""

from wsss.workflow import targets


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
