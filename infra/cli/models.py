"""``fecapass models``: model files."""

from pathlib import Path
from typing import Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

app = typer.Typer(no_args_is_help=True, help="Make model files of your own run faster.")


@app.callback()
def _group() -> None:
    """Keep `app` a group of commands however few there are."""


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

    The result is another model with its own id: all users have to be enrolled again. It is faster
    in OpenVINO only (FECAPASS_MODELS__EMBEDDER_PROVIDER=openvino). Mean and deviation of its input
    come from the settings. The figures are for the pictures that it was calibrated with; measure
    it with other pictures before you use it.
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
