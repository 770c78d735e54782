"""``fecapass evaluate``: how good is it with your own people, and which settings fit?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.settings import ModelSettings
    from infra.evaluation.evaluation import Evaluation
    from infra.evaluation.evaluation_sections import Section
    from infra.evaluation.labelled_photos import LabelledPhoto
    from infra.evaluation.photo_faces import ReadPhoto
    from infra.operations.labelled_people import LabelledPeople

    Unreadable = list[tuple[Path, str]]

#: Reasons that are written one by one; there may be thousands.
_MOST_REPORTED = 20


def evaluate(
    people: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with one folder of photos for each person. A folder in a person's folder "
            "is a camera's. Who has one photo only is not enrolled.",
            metavar="DIR",
        ),
    ] = None,
    *,
    from_production: Annotated[
        bool,
        typer.Option(
            help="Instead of photos, search the gallery with the faces of cameras of which people "
            "have said in corrections who they are, or are not.",
        ),
    ] = False,
    unknowns: Annotated[
        Path | None,
        typer.Option(help="Folder of the same form with people who are not enrolled."),
    ] = None,
    people_by: Annotated[
        Literal["folder", "prefix"],
        typer.Option(
            help="prefix: the photos of one person share a folder and the part of the name before "
            "the first _.",
        ),
    ] = "folder",
    photos: Annotated[
        int, typer.Option(min=1, help="Maximum number of photos to enrol for each person.")
    ] = 3,
    fpir: Annotated[
        float,
        typer.Option(
            min=0.0001,
            max=0.5,
            help="Share of unknown people who may be taken for someone, for the recommendation.",
        ),
    ] = 0.01,
    gallery_size: Annotated[
        int | None,
        typer.Option(min=1, help="Number of people that you will enrol, for the recommendation."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, evaluation.json and the charts as PNG."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure error rates with photos of your own people, and recommend settings.

    Some photos of each person are enrolled, the others are searched, as are those of people who are
    not enrolled, and of each enrolled person while that person is left out. The photos pass through
    the decoder, the models, the rules of enrolment and the decision of the workers, with their
    settings. No server is needed, and nothing is stored but what `--output` names.

    With `--from-production` the databases are read. Corrections are made where the pipeline was
    wrong, so such rates are those of hard faces, and higher than those of all faces.

    FNIR is the share of the probes of enrolled people that are not identified as them, FPIR that of
    the probes of unknown people that are identified as anyone. All intervals are 95 % intervals
    over people. Where there are too few people for a figure, it says so.
    """
    from infra.evaluation.evaluation import TooFewPeopleError
    from infra.evaluation.evaluation import evaluate as run
    from infra.evaluation.evaluation_document import document_of
    from infra.evaluation.evaluation_sections import sections
    from infra.evaluation.section_output import require_folder, show_sections
    from infra.terminal.output import write_json

    quiet_libraries()
    if (people is None) is not from_production:
        raise CommandFailed("name a folder of photos, or --from-production")
    if from_production and unknowns is not None:
        raise CommandFailed("--unknowns goes with a folder of photos, not with --from-production")
    if output is not None:
        require_folder(output)
    unreadable: Unreadable = []
    if people is None:
        found = _stored()
    else:
        found = _photographed(people, unknowns, people_by, photos, unreadable)
    roles = found.roles
    try:
        evaluation = run(
            roles,
            model=found.model,
            policy=found.policy,
            wanted_fpir=fpir,
            gallery_size=gallery_size,
        )
    except TooFewPeopleError as error:
        raise CommandFailed(f"{people or 'the gallery'}: {error}") from error
    tables = sections(evaluation, roles)
    document = document_of(evaluation, roles, unreadable)
    if output is not None:
        _write(output, evaluation, tables, document)
    if json:
        write_json(document)
    else:
        show_sections(tables)


def _stored() -> "LabelledPeople":
    import asyncio

    from config.settings import get_settings
    from infra.operations.checked_people import NoGalleryError
    from infra.operations.labelled_people import labelled_people
    from infra.terminal.server_failures import expected_failures

    with expected_failures():
        try:
            return asyncio.run(labelled_people(get_settings()))
        except NoGalleryError as error:
            raise CommandFailed(str(error)) from error


def _photographed(
    people: Path,
    unknowns: Path | None,
    people_by: Literal["folder", "prefix"],
    photos: int,
    unreadable: "Unreadable",
) -> "LabelledPeople":
    """Who is enrolled and searched; what cannot be read is added to ``unreadable``."""
    from config.settings import DetectSettings, load_settings
    from infra.evaluation.protocol import assign_roles
    from infra.operations.labelled_people import LabelledPeople
    from ml.recognition.enrolment_policies import enrolment_policy
    from ml.runtime.model_registry import match_policy

    settings = load_settings(DetectSettings).models
    labelled, not_accepted = _labelled(people, unknowns, people_by)
    reads, model = _read(labelled, settings)
    unreadable += not_accepted
    unreadable += [(read.photo.path, read.problem) for read in reads if read.problem]
    _report_unreadable(unreadable)
    roles = assign_roles(reads, photos, enrolment_policy(settings))
    policy = match_policy(model, settings).in_gallery(len(roles.enrolled))
    return LabelledPeople(model, policy, roles)


def _labelled(
    people: Path, unknowns: Path | None, people_by: Literal["folder", "prefix"]
) -> "tuple[list[LabelledPhoto], Unreadable]":
    from infra.evaluation.labelled_photos import NoPhotosError, labelled_photos
    from infra.photos.photo_files import skipped_text

    labelled: list[LabelledPhoto] = []
    unreadable: Unreadable = []
    try:
        found = [labelled_photos(people, people_by)]
        if unknowns is not None:
            found.append(labelled_photos(unknowns, people_by, unknown=True))
    except NoPhotosError as error:
        raise CommandFailed(str(error)) from error
    for one in found:
        labelled += one.photos
        unreadable += one.not_accepted
        if one.skipped:
            typer.echo(skipped_text(one.skipped), err=True)
    return labelled, unreadable


def _read(
    photos: "Sequence[LabelledPhoto]", settings: "ModelSettings"
) -> "tuple[list[ReadPhoto], str]":
    from domain.images.image_errors import ModelError, ProviderUnavailable
    from infra.evaluation.photo_faces import read_photos
    from infra.terminal.progress_bar import with_progress
    from ml.recognition.face_analyser import build_analyser

    def progress(every: "Sequence[LabelledPhoto]") -> "Iterator[LabelledPhoto]":
        return with_progress(every, "photos read")

    try:
        analyser = build_analyser(settings)
    except (ModelError, ProviderUnavailable) as error:
        raise CommandFailed(str(error)) from error
    return read_photos(photos, analyser, settings, progress), analyser.embedder.id


def _report_unreadable(unreadable: "Unreadable") -> None:
    from infra.terminal.tables import plain

    for path, reason in unreadable[:_MOST_REPORTED]:
        typer.echo(f"not used: {plain(path)}: {plain(reason)}", err=True)
    if len(unreadable) > _MOST_REPORTED:
        typer.echo(f"not used: {len(unreadable) - _MOST_REPORTED} more", err=True)


def _write(
    output: Path,
    evaluation: "Evaluation",
    tables: "Sequence[Section]",
    document: "dict[str, object]",
) -> None:
    from datetime import datetime

    from infra.evaluation.evaluation_charts import draw_charts
    from infra.evaluation.html_report import html_report
    from infra.terminal.output import to_json

    charts = draw_charts(evaluation)
    page = html_report(evaluation, tables, charts, datetime.now().astimezone())
    try:
        for name, png in charts.items():
            (output / name).write_bytes(png)
        (output / "evaluation.json").write_text(to_json(document), encoding="utf-8")
        (output / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot write into {output}: {error.strerror}") from error
    typer.echo(f"written: {output / 'report.html'}", err=True)
