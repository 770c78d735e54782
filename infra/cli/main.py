"""The console script ``fecapass``.

To add a command: write it as a function in ``infra/cli/<name>.py``, import it here and register
it below with ``app.command()``; a group of commands is a `typer.Typer`, added with
``app.add_typer()``.

Exit codes: 0 success, 1 failure (one clear line on standard error), 2 wrong usage, 130
interrupted.
"""

import io
import sys

import typer

from config.settings import ConfigurationError
from infra.cli import correct, evaluations, keys, models, people, unknowns, users, worker
from infra.cli.api import api
from infra.cli.dead_letters import dead_letters
from infra.cli.demo import demo
from infra.cli.doctor import doctor
from infra.cli.enrol import enrol
from infra.cli.erase import erase
from infra.cli.init_db import init_db
from infra.cli.maintenance import maintain, reconcile, retain
from infra.cli.publish import publish
from infra.cli.recent import recent
from infra.cli.replay import replay
from infra.cli.search import search
from infra.cli.similar import similar
from infra.cli.up import up
from infra.cli.visits import visits
from infra.terminal.command_errors import CommandFailed

app = typer.Typer(
    name="fecapass",
    help="""Event-driven face recognition: it reads frames from Kafka and reports who was seen.

    Settings come from FECAPASS_* variables, from `.env` in the working directory, and from
    `.fecapass/stack.env` while `fecapass up` runs there; `.env.example` lists them all.

    Exit codes: 0 success, 1 failure (the reason is one line on standard error), 2 wrong usage.
    """,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    # Tracebacks are for bugs, and must not print the values of local variables: secrets.
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(up)
app.command()(init_db)
app.add_typer(worker.app, name="worker")
app.command()(api)
app.add_typer(keys.app, name="keys")
app.command()(enrol)
app.add_typer(users.app, name="users")
app.add_typer(correct.app, name="correct")
app.add_typer(people.app, name="people")
app.add_typer(models.app, name="models")
app.command()(publish)
app.command()(search)
app.command()(similar)
app.add_typer(evaluations.app, name="evaluate")
app.command()(recent)
app.command()(visits)
app.add_typer(unknowns.app, name="unknowns")
app.command("dead-letters")(dead_letters)
app.command()(replay)
app.command()(erase)
app.command()(reconcile)
app.command()(retain)
app.command()(maintain)
app.command()(doctor)


@app.callback()
def _group() -> None:
    """Keep `app` a group of commands however few there are."""


def _write_whatever_the_terminal_can() -> None:
    """Write characters that the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line; expected failures become one line and exit code 1."""
    _write_whatever_the_terminal_can()
    # Faust, when it is imported, takes `--loop`, `-L` and `--datadir` in sys.argv for its own.
    arguments, sys.argv = sys.argv[1:], sys.argv[:1]
    try:
        app(arguments)
    except (CommandFailed, ConfigurationError) as error:
        hint = (
            "; run `fecapass up` in this directory, or set them as .env.example says"
            if isinstance(error, ConfigurationError) and str(error).endswith("is not set")
            else ""
        )
        sys.stderr.write(f"fecapass: {error}{hint}\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
