"""`strata openapi`: the API's description as a file."""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Option


def openapi(
    output: Annotated[Path | None, Option(help="File to write; standard output if left out.", dir_okay=False)] = None,
) -> None:
    """Print the OpenAPI document, or write it to a file."""
    from app.main import create_app

    document = json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(document, nl=False)
    else:
        output.write_text(document)
        typer.echo(f"Wrote {output}.", err=True)
