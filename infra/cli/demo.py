"""``fecapass demo``: the whole pipeline on one machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from infra.demo.material import Material
    from infra.photos.photo_folders import Person


def demo(
    *,
    data_dir: Annotated[
        Path, typer.Option(help="Directory for the servers' data, logs and the contact sheet.")
    ] = Path(".fecapass"),
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Enrol your own people: one folder per person, or files named after them."
        ),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(help="Play your own video as a camera; may be given several times."),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=1, max=5000, help="Number of frames to play of each --video.")
    ] = 150,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Keep everything running until Ctrl-C.")
    ] = False,
) -> None:
    """Start servers and workers, enrol people, play videos as cameras, and show who was seen.

    Without options it uses sample media from installed packages. At the end it shows a table and a
    contact sheet, and stops everything that it started.
    """
    import asyncio
    import tempfile

    from rich.console import Console

    from infra.demo.demo_enrolment import enrol
    from infra.demo.demo_errors import DemoError
    from infra.demo.run import DemoOptions, run_demo
    from infra.photos.photo_folders import NoPeopleError

    quiet_libraries()
    try:
        with tempfile.TemporaryDirectory(prefix="fecapass-demo-") as photos_dir:
            material = _material(Path(photos_dir), photos, video or [], frames)
            options = DemoOptions(data_dir, material, keep_running)
            asyncio.run(run_demo(options, enrol, Console()))
    except (DemoError, NoPeopleError) as error:
        raise CommandFailed(str(error)) from error


def _material(photos_dir: Path, photos: Path | None, videos: list[Path], frames: int) -> "Material":
    """The user's people and videos; samples for what is not given."""
    from infra.demo.material import Material, own_cameras, sample_material

    people = _own_people(photos) if photos else None
    if people and videos:
        return Material(people, own_cameras(videos, frames))
    samples = sample_material(photos_dir)
    return Material(
        people=people or samples.people,
        cameras=own_cameras(videos, frames) if videos else samples.cameras,
    )


def _own_people(photos: Path) -> "list[Person]":
    """The people of a folder; skipped files are reported."""
    from infra.photos.photo_folders import people_in

    found = people_in(photos)
    for one in found.not_accepted:
        typer.echo(f"not enrolled: {one.path}: {one.reason}", err=True)
    if found.skipped:
        typer.echo(found.skipped_text, err=True)
    return found.people
