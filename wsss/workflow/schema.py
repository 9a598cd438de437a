"""The JSON schema of configuration files, for editors: `wsss schema > config.schema.json`."""

from __future__ import annotations

import json
from typing import Any

from wsss.workflow.config import NAMED, Config


def schema() -> dict[str, Any]:
    """The schema of a file as people write it: with `use`, `extends`, and nothing required."""
    document = Config.model_json_schema()
    top_level: set[str] = set()
    for section in NAMED:
        recipes = document["properties"][section]["additionalProperties"]
        top_level |= {ref["$ref"].rsplit("/", 1)[-1] for ref in recipes.get("oneOf", [recipes])}
        # With `extends` the discriminator may stand in the extended recipe: any member may fit.
        if "oneOf" in recipes:
            document["properties"][section]["additionalProperties"] = {"anyOf": recipes["oneOf"]}
    for name, definition in document["$defs"].items():
        definition.pop("required", None)
        if name in top_level:
            extends = {"type": "string", "description": "A recipe of this section to build on."}
            definition["properties"]["extends"] = extends
    document["properties"]["use"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Recipe files to build on, from the working folder.",
    }
    document["title"] = "wsss configuration"
    return document


def schema_text() -> str:
    """The schema as JSON text, ending in a newline."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"
