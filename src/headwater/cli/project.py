"""`headwater config show`, `headwater check` and `headwater doctor`: is everything as it must be before a run?"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.session import Session, common_options, nearest
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.config import Settings
    from headwater.extract.base_extractor import Extractor


@click.group()
@common_options
def config() -> None:
    """The settings of this project."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def show(session: Session, as_json: bool) -> None:
    """Print every effective setting and where it came from; secrets as the references they are."""
    settings = session.settings
    values = settings.effective()
    if as_json:
        document = {key: {"value": value, "from": settings.origin(key)} for key, value in values.items()}
        click.echo(json.dumps(document, indent=2))
        return

    from headwater.observe.tabular import aligned

    shown = [[key, _shown(value), settings.origin(key)] for key, value in values.items() if value is not None]
    click.echo("\n".join(aligned(["key", "value", "from"], shown)))


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@click.command(short_help="Log in to one source.")
@click.argument("source", metavar="SOURCE")
@common_options
@click.pass_obj
def check(session: Session, source: str) -> int:
    """Log in to one source and ask for the right to read each of its tables.

    SOURCE is snowflake, redshift, salesforce, s3, kafka or fx_vendor.
    """
    from headwater.config import DataSources

    sources = [each.name for each in fields(DataSources)]
    if source not in sources:
        raise click.BadParameter(f"{source!r} is not a source{nearest(source, sources)}")
    _ask_for_enabled(session.settings, source)
    failed = 0
    for table, extractor in _extractors(session, source):
        try:
            with closing(extractor):
                found, clock = extractor.check(), extractor.clock()
        except HeadwaterError as error:
            failed += 1
            click.echo(f"{table}: {error}", err=True)
        else:
            at = f"; its clock says {clock:%Y-%m-%d %H:%M:%S} UTC" if clock else ""
            click.echo(f"{table}: {found}{at}")
    return 1 if failed else 0


def _extractors(session: Session, source: str) -> Iterator[tuple[str, "Extractor"]]:
    """Each Bronze table that a source has and what reads it."""
    from headwater.extract import EXTRACTORS, build

    settings = getattr(session.settings.data_sources, source)
    secret = session.settings.secrets.get(source)
    for table, contract in session.contracts.items():
        if table in EXTRACTORS and EXTRACTORS[table].name == source and session.settings.table(table).enabled:
            yield table, build(table, settings, secret, contract)


def _ask_for_enabled(settings: "Settings", source: str) -> None:
    from headwater.errors import ConfigurationError

    if source not in settings.data_sources.enabled():
        place = settings.origin(f"data_sources.{source}.enabled")
        raise ConfigurationError(f"{source} is not enabled ({place}); set data_sources.{source}.enabled: true")


@click.command(short_help="What is ready here, what is not, and the fix.")
@common_options
@click.pass_obj
def doctor(session: Session) -> int:
    """Say of this machine and project what is ready, what is not, why, and what to do about it."""
    from headwater.cli.doctor import findings

    lines = list(findings(session.config, session.command))
    for finding in lines:
        click.echo(f"{'ok ' if finding.ok else 'NOT'}  {finding.subject}: {finding.found}")
        if finding.fix:
            click.echo(f"     fix: {finding.fix}")
    return 0 if all(finding.ok for finding in lines) else 1
