"""A comparison of two models as tables of text."""

from infra.evaluation.evaluation import WantedFpir
from infra.evaluation.evaluation_sections import (
    TOO_LITTLE,
    Section,
    estimate_row,
    interval,
    percent,
)
from infra.models.model_comparison import ModelErrors, ModelReport

#: Users that a table names; `--json` names all.
_SHOWN = 20


def report_sections(report: ModelReport) -> list[Section]:
    """All tables that have rows."""
    every = [
        _coverage(report),
        _errors(report.serving, "serves"),
        _errors(report.new, "new"),
        _agreement(report),
        _live(report),
        _at_fpirs(report),
        _proposal(report),
        _lost(report),
        _confused(report),
    ]
    return [section for section in every if section.rows]


def _coverage(report: ModelReport) -> Section:
    with_template = report.users - len(report.users_without)
    rows = [
        ("users with a template", f"{with_template} of {report.users}"),
        ("photos", f"{report.embedded} of {report.photos}"),
    ]
    return Section(
        f"Embedded by {report.new.model}",
        ("", ""),
        rows,
        "all that follows is about the photos that both models have embedded",
    )


def _errors(errors: ModelErrors, role: str) -> Section:
    return Section(
        f"{errors.model} ({role}) at threshold {errors.threshold:.3f} and margin "
        f"{errors.margin:.2f}",
        ("", "%", "95 % interval", "users", "photos"),
        [
            estimate_row("FNIR: users missed, by their other photos", errors.fnir),
            estimate_row("rank-1: own template is the best", errors.rank_1),
            estimate_row("FPIR: users taken for another one, each left out", errors.fpir),
        ],
    )


def _agreement(report: ModelReport) -> Section:
    return Section(
        "Agreement of both",
        ("", "%", "95 % interval", "users", "photos"),
        [estimate_row("best candidate is the same", report.agreement)],
    )


def _live(report: ModelReport) -> Section:
    live = report.live
    heads = ("", "%", "95 % interval", "hours of cameras", "faces")
    if live is None:
        note = "no face of a frame was embedded by both yet (FECAPASS_MODELS__SHADOW_SHARE)"
        return Section("Live faces", heads, [("none", "", "", "", "")], note)
    rows = [
        estimate_row("embedded by both", live.embedded),
        estimate_row("users' faces: the user has a template of the new model", live.covered),
        estimate_row("users' faces: best candidate is the same", live.same_best),
        estimate_row("users' faces: the new model finds the user, too", live.found),
        estimate_row("users' faces: the new model takes them for another user", live.confused),
        estimate_row("unknown people's faces: the new model takes them for a user", live.taken),
    ]
    return Section(
        f"Live faces of {live.cameras} cameras since {live.since:%Y-%m-%d %H:%M} UTC",
        heads,
        rows,
        f"the new model decides with threshold and margin of its row, or its default; "
        f"whose a face is, says {report.serving.model}",
    )


def _at_fpirs(report: ModelReport) -> Section:
    rows = [
        (f"{100 * before.fpir:.3g}", *_at_fpir(before), *_at_fpir(after))
        for before, after in zip(report.serving.at_fpirs, report.new.at_fpirs, strict=True)
    ]
    heads = (
        "FPIR %",
        "serving: FNIR %",
        "95 % interval",
        "threshold",
        "new: FNIR %",
        "95 % interval",
        "threshold",
    )
    return Section("FNIR at an FPIR, each at its margin", heads, rows)


def _at_fpir(one: WantedFpir) -> tuple[str, str, str]:
    if one.point is None:
        return f"{TOO_LITTLE}: {one.unknown_people} of {one.needed_people} users", "", ""
    point = one.point
    return percent(point.fnir), interval(*point.fnir_interval), f"{point.threshold:.3f}"


def _proposal(report: ModelReport) -> Section:
    found = report.proposal
    if found is None:
        return Section("Proposed", ("",), [(TOO_LITTLE,)])
    new, fpir, point = report.new, found.fpir, found.point
    row = (
        f"{new.threshold:.3f}",
        f"{point.threshold_interval[0]:.3f} to {point.threshold_interval[1]:.3f}",
        f"{new.margin:.2f}",
        f"{percent(fpir.value or 0.0)} ({interval(fpir.low, fpir.high)})",
        f"{percent(point.fnir)} ({interval(*point.fnir_interval)})",
    )
    return Section(
        f"Proposed for an FPIR of {100 * point.fpir:.3g} %",
        ("threshold", "95 % interval", "margin", "FPIR %", "FNIR %"),
        [row],
        f"fecapass models serve {new.model} --threshold {new.threshold:.3f} "
        f"--margin {new.margin:.2f}\n  {percent(fpir.value or 0.0)} % of the photos of unknown "
        "people are then taken for a user",
    )


def _lost(report: ModelReport) -> Section:
    rows = [(str(user), "no template") for user in report.users_without]
    rows += [(str(user), "found by the serving model alone") for user in report.lost]
    return Section("Users who would be lost", ("user", "why"), rows[:_SHOWN], _more(len(rows)))


def _confused(report: ModelReport) -> Section:
    rows = [
        (
            str(one.user_id),
            str(one.taken_for),
            f"{one.similarity:.3f}",
            "both models" if one.by_both else "the new model alone",
        )
        for one in report.confused
    ]
    heads = ("user", "taken for", "similarity", "by")
    return Section("Users who would be confused", heads, rows[:_SHOWN], _more(len(rows)))


def _more(count: int) -> str:
    return f"{_SHOWN} of {count}; --json has all" if count > _SHOWN else ""
