"""The report of a liveness evaluation: tables, a chart, and one HTML file."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from infra.evaluation.evaluation_sections import TOO_LITTLE, Section, interval, percent
from infra.evaluation.html_report import Figure, page_of
from infra.evaluation.line_chart import Axis, Line, draw_chart
from infra.evaluation.liveness_evaluation import LIVE, LivenessEvaluation, error_rows
from ml.evaluation.liveness_errors import LivenessErrors, Presentations

#: The chart's file.
CHART = "errors.png"

_PERCENT = 100.0
_STEPS = 201
_CAPTION = (
    "Share of the attacks of each kind that pass (APCER) and of the people who are refused "
    "(BPCER), by threshold."
)

#: As many kinds of attacks as a chart has lines, and one for people.
_KINDS_SHOWN = 4


def liveness_sections(evaluation: LivenessEvaluation) -> list[Section]:
    """The tables: at the threshold in use, and at the recommended one."""
    now = evaluation.now
    sections = [_errors(now, f"At the threshold {now.threshold:g}", intervals_note(evaluation))]
    wanted = f"APCER of at most {_PERCENT * evaluation.wanted_apcer:g} %"
    if evaluation.recommended is None:
        needs = f"{TOO_LITTLE}: {evaluation.needed} attacks of each kind are needed"
        sections.append(Section(f"For an {wanted}", ("",), [(needs,)]))
    else:
        threshold = min(evaluation.recommended.threshold, 1.0)
        title = f"For an {wanted}: threshold {threshold:.4f}"
        sections.append(_errors(evaluation.recommended, title, ""))
    return sections


def intervals_note(evaluation: LivenessEvaluation) -> str:
    """What the intervals are over."""
    single = sorted(
        name for name, one in evaluation.presentations.items() if not _has_subjects(one)
    )
    named = sorted(name for name, one in evaluation.presentations.items() if _has_subjects(one))
    parts = []
    if named:
        parts.append(f"over the folders in {', '.join(named)}: one is a person, sheet or clip")
    if single:
        parts.append(
            f"over single pictures in {', '.join(single)}, as if each were of another person or "
            "sheet: put those of one into a folder"
        )
    return f"95 % intervals are {'; '.join(parts)}"


def error_chart(evaluation: LivenessEvaluation) -> bytes:
    """APCER and BPCER by threshold, as PNG."""
    thresholds = np.linspace(0.0, 1.0, _STEPS)
    attacks = {
        name: one
        for name, one in sorted(evaluation.presentations.items())
        if name != LIVE and one.scores.size
    }
    lines = [_line("BPCER", thresholds, evaluation.presentations[LIVE], passed=False)]
    lines += [
        _line(f"APCER {name}", thresholds, one, passed=True)
        for name, one in list(attacks.items())[:_KINDS_SHOWN]
    ]
    x, y = Axis("threshold", 0.0, 1.0), Axis("%", 0.0, _PERCENT)
    return draw_chart("Errors by threshold", x, y, lines)


def liveness_page(evaluation: LivenessEvaluation, chart: bytes, made_at: datetime) -> str:
    """The HTML file.

    Args:
        evaluation: the results.
        chart: of `error_chart`.
        made_at: with its time zone.
    """
    recommended = evaluation.recommended
    settings = (
        []
        if recommended is None
        else [f"FECAPASS_LIVENESS__THRESHOLD={min(recommended.threshold, 1.0):.4f}"]
    )
    return page_of(
        "Fecapass evaluation of liveness",
        f"{made_at.strftime('%Y-%m-%d %H:%M %Z')}, model {evaluation.model}. The terms are those "
        "of ISO/IEC 30107-3.",
        settings,
        liveness_sections(evaluation),
        [Figure(_CAPTION, chart)],
    )


def liveness_document(evaluation: LivenessEvaluation) -> Mapping[str, object]:
    """All figures, for JSON."""
    recommended = evaluation.recommended
    return {
        "model": evaluation.model,
        "threshold": evaluation.now.threshold,
        "errors": error_rows(evaluation.now),
        "intervals": {
            name: "folders" if _has_subjects(one) else "pictures"
            for name, one in sorted(evaluation.presentations.items())
        },
        "wanted_apcer": evaluation.wanted_apcer,
        "needed": evaluation.needed,
        "recommended_threshold": None if recommended is None else recommended.threshold,
        "recommended_errors": None if recommended is None else error_rows(recommended),
    }


def _has_subjects(presentations: Presentations) -> bool:
    return bool(presentations.subjects or presentations.subjects_not_answered)


def _errors(errors: LivenessErrors, title: str, note: str) -> Section:
    rows = []
    for row in error_rows(errors):
        value, low, high = row["value"], row["low"], row["high"]
        shown = percent(value) if isinstance(value, float) else "too few"
        ends = interval(low, high) if isinstance(low, float) and isinstance(high, float) else ""
        subjects = "" if row["subjects"] is None else str(row["subjects"])
        rows.append(
            (str(row["rate"]), str(row["presentations"]), shown, ends, str(row["number"]), subjects)
        )
    heads = ("rate", "pictures", "%", "95 % interval", "of", "folders")
    return Section(title, heads, rows, note)


def _line(name: str, thresholds: np.ndarray, one: Presentations, *, passed: bool) -> Line:
    passes = (one.scores[None, :] >= thresholds[:, None]).mean(axis=1)
    shares = passes if passed else 1.0 - passes
    return Line(name, thresholds.tolist(), (_PERCENT * shares).tolist())
