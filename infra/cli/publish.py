"""``fecapass publish``: send the frames of a source to ``camera.frames``."""

from typing import Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries


def publish(
    source: Annotated[
        str,
        typer.Argument(
            help="Video file, picture, folder of pictures, rtsp:// or http:// stream, or webcam:N."
        ),
    ],
    *,
    camera: Annotated[str, typer.Option(help="Id of the camera; becomes the Kafka key.")],
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1000, help="Frames per second; by default the rate of the source."
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Process pictures again that were published before."),
    ] = False,
    environment_proxy: Annotated[
        bool,
        typer.Option(
            "--environment-proxy",
            help="Use the proxy that http_proxy names for an HTTP stream; otherwise none is used.",
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this number of frames.")
    ] = None,
    claim_check: Annotated[
        bool | None,
        typer.Option(
            "--claim-check/--inline",
            help="Send images through S3, or in the messages; "
            "by default what FECAPASS_KAFKA__CLAIM_CHECK says.",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=16, max=16384, help="Scale wider frames down to this width in pixels."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="JPEG quality of frames; 90 by default."),
    ] = None,
) -> None:
    """Publish the frames of a video, a folder, a stream or a webcam as one camera.

    Picture files are sent unchanged, and sending the same ones again changes nothing. Videos play
    at their own rate. From a live source, only the newest frame is sent if frames arrive too fast.
    Ctrl-C stops.
    """
    import asyncio

    from rich.console import Console

    from config.settings import DetectSettings, load_settings
    from infra.cameras.encoding import EncodingError
    from infra.cameras.identity import BadCameraError
    from infra.cameras.publish_cameras import PublishOptions, UsageError
    from infra.cameras.publish_cameras import publish as run_publish
    from infra.cameras.sources import SourceError
    from streams.clients.image_producer import PublishError

    options = PublishOptions(
        location=source,
        camera=camera,
        rate=rate,
        loop=loop,
        again=again,
        environment_proxy=environment_proxy,
        limit=limit,
        claim_check=claim_check,
        width=width,
        quality=quality,
    )
    quiet_libraries()
    try:
        report = asyncio.run(
            run_publish(load_settings(DetectSettings), options, Console(stderr=True))
        )
    except (UsageError, BadCameraError) as error:
        raise typer.BadParameter(str(error)) from error
    except (SourceError, EncodingError, PublishError) as error:
        raise CommandFailed(str(error)) from error
    typer.echo(report.line(camera))
