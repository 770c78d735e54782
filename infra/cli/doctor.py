"""``fecapass doctor``: does this installation work?"""

from typing import Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check settings, servers, topics and models, and say what is wrong with each.

    The output contains no secrets, so you can send it to others. The exit code is 1 if a check
    failed. A pipeline without workers is degraded, which is not a failure.
    """
    import asyncio
    from dataclasses import asdict

    from config.settings import ConfigurationError, get_settings
    from infra.operations.diagnosis import Finding, examine, healthy
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, score

    quiet_libraries()
    wrong: ConfigurationError | None = None
    try:
        findings = asyncio.run(examine(get_settings()))
    except ConfigurationError as error:
        wrong = error
        findings = [Finding("settings", "failed", str(error), 0.0)]
    columns = (
        Column("part", "part", style="bold", whole=True),
        Column("status", "status"),
        Column("detail", "found"),
        Column("seconds", "seconds", score, justify="right"),
    )
    show_listing([asdict(one) for one in findings], columns, as_json=json, empty="nothing")
    if wrong is not None:
        raise wrong
    if not healthy(findings):
        failed = [one.part for one in findings if one.status == "failed"]
        raise CommandFailed(f"checks failed: {', '.join(failed)}")
