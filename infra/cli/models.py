"""``fecapass models``: model files, and embedders that replace one another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from domain.decisions.model_change import StoredModel
    from infra.models.backfill import Backfilled
    from infra.models.model_comparison import ModelReport
    from infra.models.model_table import ModelTable

app = typer.Typer(
    no_args_is_help=True,
    help="Change the embedder without enrolling again; make model files of your own run faster.",
)

T = TypeVar("T")

#: How long detect workers may take to embed by a model that serves, in seconds.
_SERVE_SECONDS = 10.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(help="Id of the model, as `list` prints it.")]
Channels = Annotated[
    str | None,
    typer.Option(
        metavar="VALUES",
        help="One number, or three with commas for red, green, blue. Default: the setting.",
    ),
]


Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Also if users have no template of it, or workers have not loaded it."
    ),
]


@app.command()
def add(
    file: Annotated[
        str, typer.Argument(help="ArcFace file in ONNX, or sface for the built-in embedder.")
    ],
    *,
    mean: Channels = None,
    deviation: Channels = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Embed the mirror image of each face, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Add an embedder next to the one in use, as a shadow.

    The file is copied to S3. Nothing is decided by it yet: `backfill` embeds the enrolled photos
    with it.
    """
    from config.settings import ModelSettings, get_settings
    from domain.images.image_errors import ModelError
    from infra.models.model_table import read_embedder

    quiet_libraries()
    settings = get_settings()
    given = {
        name: value.split(",") if "," in value else value
        for name, value in (("embedder_mean", mean), ("embedder_deviation", deviation))
        if value is not None
    }
    try:
        changed = ModelSettings.model_validate(settings.models.model_dump() | given)
        embedder = read_embedder(file, changed, mirror=mirror)
    except ValueError as error:
        raise typer.BadParameter("one number or three with commas", param_hint=[*given]) from error
    except ModelError as error:
        raise CommandFailed(str(error)) from error
    _show([_on_table(lambda table: table.add(embedder))], as_json=json)


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the embedders that were added, and what each is used for."""
    _show(_on_table(lambda table: table.all()), as_json=json)


@app.command()
def backfill(
    model: Model,
    *,
    sightings: Annotated[
        float,
        typer.Option(
            min=0, metavar="DAYS", help="Also embed the faces that cameras saw in these days."
        ),
    ] = 0.0,
    rate: Annotated[
        float,
        typer.Option(min=0, help="Most faces a second, so that workers keep up; 0: no limit."),
    ] = 50.0,
    json: Json = False,
) -> None:
    """Embed the enrolled photos with a model that was added, from what is kept of them.

    You can interrupt and repeat it: what is embedded stays. The exit code is 1 if a photo cannot be
    embedded, because its crop is gone; the users are named.
    """
    from infra.terminal.progress_bar import counted

    with counted("faces embedded") as progress:
        done = _on_table(
            lambda table: table.backfill(model, days=sightings, rate=rate, progress=progress)
        )
    _show_backfilled(done, as_json=json)
    lost = [str(user) for one in done for user in one.lost_users]
    if lost:
        raise CommandFailed(f"photos without a crop; enrol these users again: {', '.join(lost)}")


@app.command()
def report(
    model: Model,
    *,
    fpir: Annotated[
        float,
        typer.Option(
            min=0.0001,
            max=0.5,
            help="Share of unknown people who may be taken for someone, at which the models are "
            "compared. A higher one needs fewer users.",
        ),
    ] = 0.01,
    least_coverage: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the photos that the model must have embedded."),
    ] = 1.0,
    most_confused: Annotated[
        int, typer.Option(min=0, help="Most users who may be taken for another one by it alone.")
    ] = 0,
    most_live_confused: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Largest share of users' live faces taken for another user."
        ),
    ] = 0.01,
    json: Json = False,
) -> None:
    """Compare a model with the one that serves, on the enrolled photos, before it serves.

    Each photo is searched twice: with its user enrolled by the user's other photos, and with the
    user left out, as an unknown person's. The only photo of a user is an unknown person's alone.
    Threshold and margin are proposed, and users are named who would be lost or confused with them.

    The exit code is 1 if users or photos are not embedded by the model, if it alone takes a user
    for another one, if it takes more of the users' live faces for others than --most-live-confused
    beyond doubt, if its FNIR at the FPIR is above the 95 % interval of the serving model's, or if
    there is too little data.
    """
    from domain.decisions.model_change import ModelGate

    gate = ModelGate(fpir, least_coverage, most_confused, most_live_confused)
    found = _on_table(lambda table: table.report(model, gate))
    _show_report(found, as_json=json)
    if found.failures:
        raise CommandFailed(f"{model} should not serve yet: {'; '.join(found.failures)}")


@app.command()
def serve(
    model: Model,
    *,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Least cosine of a match.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, max=2, help="Least lead over the second-best user.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Have a model decide, in all workers, within two seconds; the one before stays loaded.

    Without --threshold and --margin they are as the model served with them before, or its defaults.
    """
    _show_served(
        _on_table(lambda table: table.serve(model, threshold, margin, force=force)), as_json=json
    )


@app.command()
def rollback(*, force: Force = False, json: Json = False) -> None:
    """Have the model decide again that served before, as fast."""
    _show_served(_on_table(lambda table: table.rollback(force=force)), as_json=json)


@app.command()
def retire(model: Model, *, json: Json = False) -> None:
    """Embed nothing more with a model that does not serve. Its templates stay.

    It can be added again; `backfill` then embeds what it has missed.
    """
    _show([_on_table(lambda table: table.retire(model))], as_json=json)


@app.command()
def quantize(
    file: Annotated[Path, typer.Argument(help="ArcFace file in ONNX, in float32.")],
    *,
    calibrate: Annotated[
        Path,
        typer.Option(
            help="Folder of pictures with faces, such as your cameras see; those of one person "
            "share a folder and the part of the name before the first _.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where to write it; FILE with .int8.onnx by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write an int8 form of an ArcFace file, and show its accuracy.

    The result is another model with its own id, which `add` and `backfill` give templates. It is
    faster in OpenVINO only (FECAPASS_MODELS__EMBEDDER_PROVIDER=openvino). Mean and deviation of its
    input come from the settings. The figures are for the pictures that it was calibrated with;
    measure it with other pictures before you use it.
    """
    from dataclasses import asdict

    from config.settings import DetectSettings, load_settings
    from domain.images.image_errors import ModelError
    from infra.models.quantization import quantize_file
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column

    quiet_libraries()
    target = output or file.with_suffix(".int8.onnx")
    try:
        made = quantize_file(file, calibrate, target, load_settings(DetectSettings).models)
    except (ModelError, OSError) as error:
        raise CommandFailed(str(error)) from error
    if made.warning is not None:
        typer.echo(f"{made.warning}; measure it where it will run", err=True)
    rows = [{"what": name, "value": value} for name, value in asdict(made).items()]
    columns = (Column("what", "", style="bold", whole=True), Column("value", ""))
    if json:
        from infra.terminal.output import write_json

        write_json(asdict(made) | {"file": str(made.file)})
        return
    show_listing(rows, columns, as_json=False, empty="nothing")


def _show(models: "list[StoredModel]", *, as_json: bool) -> None:
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, joined, moment, score

    rows = [
        {
            "id": one.id,
            "state": one.state.value,
            "dimension": one.dimension,
            "mean": one.file.mean,
            "deviation": one.file.deviation,
            "mirror": one.file.mirror,
            "threshold": one.threshold,
            "margin": one.margin,
            "served_at": one.served_at,
            "sha256": one.file.sha256,
            "added_at": one.added_at,
        }
        for one in models
    ]
    columns = (
        Column("id", "model", style="bold", whole=True),
        Column("state", "state"),
        Column("dimension", "dimension", justify="right"),
        Column("mean", "mean", joined),
        Column("deviation", "deviation", joined),
        Column("threshold", "threshold", score, justify="right"),
        Column("margin", "margin", score, justify="right"),
        Column("added_at", "added", moment),
        Column("served_at", "served last", moment),
    )
    show_listing(rows, columns, as_json=as_json, empty="no model was added")


def _show_served(model: "StoredModel", *, as_json: bool) -> None:
    """Show the model that serves, once all detect workers embed by it."""
    import asyncio

    from config.settings import get_settings
    from infra.models.detect_workers import wait_for_workers
    from infra.terminal.server_failures import expected_failures

    with expected_failures():
        late = asyncio.run(wait_for_workers(get_settings().kafka, model.id, _SERVE_SECONDS))
    _show([model], as_json=as_json)
    if late:
        raise CommandFailed(
            f"{model.id} serves, but detect workers do not embed by it yet: {', '.join(late)}"
        )


def _show_backfilled(done: "list[Backfilled]", *, as_json: bool) -> None:
    from dataclasses import asdict

    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column

    columns = (
        Column("kind", "faces", style="bold"),
        *(
            Column(name, title, justify="right")
            for name, title in (
                ("faces", "in all"),
                ("present", "embedded before"),
                ("embedded", "embedded now"),
                ("lost", "without a crop"),
            )
        ),
    )
    show_listing([asdict(one) for one in done], columns, as_json=as_json, empty="nothing")


def _show_report(report: "ModelReport", *, as_json: bool) -> None:
    import msgspec

    from infra.evaluation.section_output import show_sections
    from infra.models.report_sections import report_sections
    from infra.terminal.output import write_json

    if as_json:
        write_json(msgspec.to_builtins(report))
    else:
        show_sections(report_sections(report))


def _on_table(work: "Callable[[ModelTable], Awaitable[T]]") -> T:
    import asyncio

    from config.settings import get_settings
    from domain.decisions.model_change import ModelChangeError
    from domain.images.image_errors import ModelError
    from infra.models.model_table import open_table
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()

    async def run() -> T:
        async with open_table(get_settings()) as table:
            return await work(table)

    try:
        with expected_failures():
            return asyncio.run(run())
    except (ModelChangeError, ModelError) as error:
        raise CommandFailed(str(error)) from error
