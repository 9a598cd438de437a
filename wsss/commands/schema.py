"""`wsss schema`: what configuration files may say, for editors."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def schema() -> None:
    """Print the JSON schema of configuration files.

    Example: `wsss schema > config.schema.json`
    """
    from wsss.workflow.schema import schema_text

    typer.echo(schema_text(), nl=False)
