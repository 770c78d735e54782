"""``fecapass evaluate``: recognition, unless the first word names another evaluation."""

import typer
from typer.core import TyperGroup

from infra.cli.evaluate import evaluate
from infra.cli.evaluate_liveness import evaluate_liveness

#: The evaluation that a folder alone asks for.
_DEFAULT = "recognition"


class _RecognitionByDefault(TyperGroup):
    """Takes a first word that names no command for a folder of people.

    Attributes:
        default: the command that a folder alone asks for.
    """

    default = _DEFAULT

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """Put the name of the default command before its arguments."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RecognitionByDefault,
    no_args_is_help=True,
    help="""Measure how good it is with your own pictures, and recommend settings.

    `fecapass evaluate DIR` is `fecapass evaluate recognition DIR`; write a folder that is called
    liveness or recognition as ./liveness.
    """,
)
app.command(_DEFAULT)(evaluate)
app.command("liveness")(evaluate_liveness)
