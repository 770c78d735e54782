"""``fecapass evaluate liveness``: how often does a picture pass for a person?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.evaluation.labelled_photos import LabelledPhoto
    from infra.evaluation.liveness_evaluation import LivenessEvaluation
    from ml.evaluation.liveness_errors import LivenessErrors


def evaluate_liveness(
    pictures: Annotated[
        Path,
        typer.Argument(
            help="Folder with the folder live, and one for each kind of attack, such as print and "
            "replay: pictures of your cameras, with their surroundings.",
            metavar="DIR",
        ),
    ],
    *,
    apcer: Annotated[
        float,
        typer.Option(
            min=0.001, max=0.5, help="Share of attacks that may pass, for the recommendation."
        ),
    ] = 0.05,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, liveness.json and the chart as PNG."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how often pictures of people pass for people, and recommend a threshold.

    The largest face of each picture is judged by the model of FECAPASS_LIVENESS__MODEL_FILE, with
    the decoder and the detector of the workers. No server is needed, and nothing is stored.

    The terms are those of ISO/IEC 30107-3. APCER: share of attacks that are taken for people, for
    each kind. BPCER: share of people who are taken for attacks. APNRR and BPNRR: shares of pictures
    that the model could not judge. Intervals are 95 % intervals: over the folders below those of
    the kinds, such as live/ada and print/sheet-3, one for each person, sheet or clip; where there
    are none, as if no picture were of the same person or sheet as another.
    """
    from config.settings import DetectSettings, load_settings
    from domain.images.image_errors import ModelError, ProviderUnavailable
    from infra.evaluation.labelled_photos import NoPhotosError, labelled_photos
    from infra.evaluation.liveness_evaluation import (
        NoPresentationsError,
        evaluate_liveness,
        judged_photos,
    )
    from infra.evaluation.liveness_report import liveness_document
    from infra.evaluation.section_output import require_folder
    from infra.terminal.output import write_json
    from infra.terminal.progress_bar import with_progress
    from ml.liveness.liveness_check import LivenessCheck
    from ml.liveness.minifasnet import load_minifasnet
    from ml.recognition.face_analyser import build_analyser

    quiet_libraries()
    settings = load_settings(DetectSettings)
    if settings.liveness.model_file is None:
        raise CommandFailed("no model to measure: FECAPASS_LIVENESS__MODEL_FILE is not set")

    if output is not None:
        require_folder(output)

    def progress(every: "Sequence[LabelledPhoto]") -> "Iterator[LabelledPhoto]":
        return with_progress(every, "pictures judged")

    try:
        photos = labelled_photos(pictures, "folder").photos
        check = LivenessCheck(
            load_minifasnet(settings.liveness.model_file), settings.liveness.threshold
        )
        found = judged_photos(
            photos, build_analyser(settings.models), check, settings.models, progress
        )
        evaluation = evaluate_liveness(found, check, apcer)
    except (ModelError, ProviderUnavailable, NoPhotosError) as error:
        raise CommandFailed(str(error)) from error
    except NoPresentationsError as error:
        raise CommandFailed(f"{pictures}: {error}") from error
    if output is not None:
        _write(output, evaluation)
    if json:
        write_json(liveness_document(evaluation))
    else:
        _show(evaluation)


def _write(output: Path, evaluation: "LivenessEvaluation") -> None:
    from datetime import datetime

    from infra.evaluation.liveness_report import (
        CHART,
        error_chart,
        liveness_document,
        liveness_page,
    )
    from infra.terminal.output import to_json

    chart = error_chart(evaluation)
    page = liveness_page(evaluation, chart, datetime.now().astimezone())
    try:
        (output / CHART).write_bytes(chart)
        (output / "liveness.json").write_text(
            to_json(liveness_document(evaluation)), encoding="utf-8"
        )
        (output / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot write into {output}: {error.strerror}") from error
    typer.echo(f"written: {output / 'report.html'}", err=True)


def _show(evaluation: "LivenessEvaluation") -> None:
    from infra.evaluation.liveness_report import intervals_note

    threshold = evaluation.now.threshold
    _show_errors(evaluation.now, f"{evaluation.model} at the threshold {threshold:g}")
    typer.echo(intervals_note(evaluation))
    recommended = evaluation.recommended
    if recommended is None:
        typer.echo(
            f"too little data for a threshold with an APCER of {evaluation.wanted_apcer:g}: it "
            f"needs {evaluation.needed} pictures of each kind of attack that the model can judge, "
            "each of another folder where there are some"
        )
        return
    _show_errors(recommended, f"with an APCER of at most {evaluation.wanted_apcer:g}")
    typer.echo(f"FECAPASS_LIVENESS__THRESHOLD={min(recommended.threshold, 1.0):.4f}")


def _show_errors(errors: "LivenessErrors", title: str) -> None:
    from infra.evaluation.liveness_evaluation import error_rows
    from infra.terminal.output import print_table
    from infra.terminal.tables import Column, table

    columns = (
        Column("rate", "rate", style="bold"),
        Column("presentations", "pictures"),
        Column("value", "%", _percent, justify="right"),
        Column("low", "from", _percent, justify="right"),
        Column("high", "to", _percent, justify="right"),
        Column("number", "of", justify="right"),
        Column("subjects", "folders", justify="right"),
    )
    print_table(table(error_rows(errors), columns, title=title))


def _percent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else "too few"
