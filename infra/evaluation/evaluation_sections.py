"""An evaluation as tables of text: the same for the terminal and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.evaluation.evaluation import Evaluation, settings_lines, wanted_lines
from infra.evaluation.protocol import Roles
from ml.evaluation.pairs import PairRates
from ml.evaluation.people_bootstrap import Estimate

_PERCENT = 100.0
TOO_LITTLE = "too little data"
_SHOWN = 10

Interval = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a title.

    Attributes:
        title: one line.
        heads: of the columns.
        rows: as wide as the heads.
        note: what is to be known about the figures.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def sections(evaluation: Evaluation, roles: Roles) -> list[Section]:
    """All tables that have rows."""
    every = [
        _photos(evaluation, roles),
        _now(evaluation),
        _wanted(evaluation),
        _recommended(evaluation),
        _sizes(evaluation),
        _drawn(evaluation),
        _groups(evaluation),
        _pairs(evaluation),
        _discards(evaluation),
        _confusions(evaluation),
    ]
    return [section for section in every if section.rows]


def _photos(evaluation: Evaluation, roles: Roles) -> Section:
    enrolled = sum(map(len, roles.enrolled.values()))
    unknown = len({(read.photo.is_unknown, read.photo.person) for read in roles.unknown})
    failed = len(roles.failed)
    rows = [
        ("enrolled people", str(evaluation.enrolled_people)),
        ("photos in templates", f"{enrolled}, {evaluation.template_photos:.1f} a person"),
        ("probes of enrolled people", str(len(roles.probes))),
        ("people who are not enrolled", f"{unknown}, with {len(roles.unknown)} probes"),
        ("people whose photos were all refused", f"{failed} of {failed + len(roles.enrolled)}"),
    ]
    refused = roles.refusals.total()
    reasons = ", ".join(f"{count} {code}" for code, count in roles.refusals.most_common())
    rows.append(
        (
            "photos refused by enrolment",
            f"{refused} of {roles.offered}" + (f": {reasons}" if reasons else ""),
        )
    )
    if roles.without_face:
        rows.append(("to search, without a face or its embedding", str(roles.without_face)))
    if roles.duplicates:
        rows.append(("copies of another photo, not used", str(len(roles.duplicates))))
    return Section(f"Photos ({evaluation.model})", ("", ""), rows)


def _now(evaluation: Evaluation) -> Section:
    policy = evaluation.policy
    rows = [
        estimate_row("FNIR: enrolled people missed", evaluation.fnir),
        estimate_row("  of these, taken for another person", evaluation.misidentified),
        estimate_row("rank-1: own template is the best", evaluation.rank_1),
        estimate_row("FPIR: unknown people taken for someone", evaluation.fpir),
        estimate_row("  people who are not enrolled", evaluation.fpir_unknown),
        estimate_row("  enrolled people, each one left out", evaluation.fpir_left_out),
    ]
    return Section(
        f"At the present threshold {policy.threshold:.3f} and margin {policy.margin:.2f}",
        ("", "%", "95 % interval", "people", "probes"),
        rows,
        f"in a gallery of {evaluation.enrolled_people} people",
    )


def estimate_row(name: str, found: Estimate) -> tuple[str, ...]:
    """A share with its interval, and the numbers of people and probes that it is of."""
    if found.value is None:
        return name, "-", "-", "0", "0"
    ends = interval(found.low, found.high)
    return name, percent(found.value), ends, str(found.people), str(found.probes)


def _wanted(evaluation: Evaluation) -> Section:
    rows = []
    for one in evaluation.wanted:
        if one.point is None:
            missing = f"{TOO_LITTLE}: {one.unknown_people} of {one.needed_people} people"
            rows.append((percent(one.fpir), missing, "", "", ""))
            continue
        low, high = one.point.threshold_interval
        rows.append(
            (
                percent(one.fpir),
                percent(one.point.fnir),
                interval(*one.point.fnir_interval),
                f"{one.point.threshold:.3f}",
                f"{low:.3f} to {high:.3f}",
            )
        )
    return Section(
        "FNIR at an FPIR",
        ("FPIR %", "FNIR %", "95 % interval", "threshold", "95 % interval"),
        rows,
        f"at the present margin {evaluation.policy.margin:.2f}",
    )


def _recommended(evaluation: Evaluation) -> Section:
    title = f"For an FPIR of {_PERCENT * evaluation.wanted_fpir:g} %"
    heads = ("gallery", "threshold", "95 % interval", "margin", "FPIR %", "FNIR %")
    rows = []
    found = evaluation.recommendation
    here = f"{evaluation.enrolled_people} people, as here"
    if found is None:
        rows.append((here, TOO_LITTLE, "", "", "", ""))
    else:
        low, high = found.point.threshold_interval
        fnir, ends = found.point.fnir, found.point.fnir_interval
        rows.append(
            (
                here,
                f"{found.point.threshold:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{found.margin:.2f}",
                f"{percent(found.fpir.value or 0.0)} ({interval(found.fpir.low, found.fpir.high)})",
                f"{percent(fnir)} ({interval(*ends)})",
            )
        )
    size = evaluation.recommended_size
    if size is not None:
        value = evaluation.recommended_threshold
        margin = f"{evaluation.policy.margin:.2f}"
        rows.append(
            (
                f"{size:,} people, extrapolated",
                TOO_LITTLE if value is None else f"{value[0]:.3f}",
                "" if value is None else f"{value[1]:.3f} to {value[2]:.3f}",
                "" if value is None else margin,
                "",
                "",
            )
        )
    lines = settings_lines(evaluation)
    note = "settings: " + " ".join(lines) if lines else "no settings can be recommended"
    return Section(title, heads, rows, note)


def _sizes(evaluation: Evaluation) -> Section:
    rows = [
        (
            f"{one.size:,}",
            percent(one.fpir_now[0]),
            interval(*one.fpir_now[1:]),
            f"{one.threshold[0]:.3f}",
            f"{one.threshold[1]:.3f} to {one.threshold[2]:.3f}",
        )
        for one in evaluation.larger
    ] or [("larger ones", TOO_LITTLE, "", "", "")]
    return Section(
        "Larger galleries, extrapolated",
        (
            "people",
            "FPIR % now",
            "95 % interval",
            f"threshold for {_PERCENT * evaluation.wanted_fpir:g} %",
            "95 % interval",
        ),
        rows,
        f"with the threshold alone; the margin makes the FPIR lower{_raised(evaluation)}",
    )


def _raised(evaluation: Evaluation) -> str:
    lines = wanted_lines(evaluation)
    return f". To raise the threshold with the gallery: {' '.join(lines)}" if lines else ""


def _drawn(evaluation: Evaluation) -> Section:
    rows = [
        (
            str(one.size),
            percent(one.measured),
            "-" if one.predicted is None else percent(one.predicted[0]),
            "-" if one.predicted is None else interval(*one.predicted[1:]),
        )
        for one in evaluation.drawn_galleries
    ]
    return Section(
        "Check of the extrapolation: galleries drawn from this one",
        ("people", "FPIR % measured", "FPIR % extrapolated", "95 % interval"),
        rows,
        "with the present threshold alone",
    )


def _groups(evaluation: Evaluation) -> Section:
    rows = [
        (
            one.name,
            one.value,
            *estimate_row("", one.fnir)[1:4],
            *estimate_row("", one.fpir)[1:4],
        )
        for one in evaluation.groups
    ]
    heads = ("by", "", "FNIR %", "95 % interval", "people", "FPIR %", "95 % interval", "people")
    return Section("By camera and quality of the probe", heads, rows)


def _pairs(evaluation: Evaluation) -> Section:
    return Section(
        "Pairs of photos",
        ("threshold", "FMR %", "95 % interval", "FNMR %", "95 % interval"),
        [_pair(one) for one in evaluation.pairs],
        "of all photos that are used, each with each",
    )


def _pair(one: PairRates) -> tuple[str, ...]:
    if one.threshold is None or one.fnmr is None:
        wanted = "-" if one.wanted_fmr is None else f"{_PERCENT * one.wanted_fmr:g}"
        return "", wanted, f"{TOO_LITTLE}: {one.people} people", "", ""
    if one.fmr is not None:
        fmr = (f"{_PERCENT * one.fmr[0]:.3g}", interval(*one.fmr[1:], digits=3))
    else:
        fmr = (f"{_PERCENT * (one.wanted_fmr or 0.0):g}", "")
    return f"{one.threshold:.3f}", *fmr, percent(one.fnmr[0]), interval(*one.fnmr[1:])


def _discards(evaluation: Evaluation) -> Section:
    if not evaluation.discards:
        return Section("Error versus discard", (), ())
    shares = evaluation.discards[0].shares
    rows = [(one.measure, *map(percent, one.fnir)) for one in evaluation.discards]
    heads = ("FNIR % after discarding the lowest", *(f"{_PERCENT * one:g} %" for one in shares))
    return Section("Error versus discard", heads, rows)


def _confusions(evaluation: Evaluation) -> Section:
    rows = [
        (one.photo, one.person, one.named, f"{one.similarity:.3f}")
        for one in evaluation.confusions[:_SHOWN]
    ]
    return Section(
        "Unknown or left-out people taken for someone",
        ("photo", "label", "taken for", "similarity"),
        rows,
        "look at these first: a wrong label looks like an error of the system",
    )


def percent(share: float) -> str:
    """A share of 1 as a number of percent."""
    return f"{_PERCENT * share:.1f}"


def interval(low: float, high: float, *, digits: int = 1) -> str:
    """An interval of shares, in percent."""
    return f"{_PERCENT * low:.{digits}f} to {_PERCENT * high:.{digits}f}"
