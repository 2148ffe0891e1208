"""`chatapp-tail schema`: what the records look like, for programs."""

import click
import msgspec

from ..errors import ExitStatus


@click.command()
def schema() -> int:
    """Print the JSON Schema (2020-12) of the records of -o json, --meta and --log-format."""
    from ..formats.schema import schema as build

    click.echo(msgspec.json.format(msgspec.json.encode(build()), indent=2).decode())
    return ExitStatus.DONE
