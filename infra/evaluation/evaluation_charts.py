"""The charts of an evaluation."""

from collections.abc import Mapping

from infra.evaluation.evaluation import Evaluation
from infra.evaluation.line_chart import Axis, Line, draw_chart

_PERCENT = 100.0
_LEAST_PERCENT = 0.1
_MARGINS_SHOWN = (0.0, 0.05, 0.1)


def draw_charts(evaluation: Evaluation) -> dict[str, bytes]:
    """PNG files by name; charts for which there is too little data are left out."""
    charts = {
        "det.png": _det(evaluation),
        "threshold.png": _threshold(evaluation),
        "margins.png": _margins(evaluation),
        "gallery-sizes.png": _sizes(evaluation),
        "discard.png": _discard(evaluation),
    }
    return {name: png for name, png in charts.items() if png is not None}


#: What each chart shows, for the report.
CAPTIONS: Mapping[str, str] = {
    "det.png": "FNIR by FPIR at the present margin. The band is the 95 % interval over people.",
    "threshold.png": "Both error rates by threshold, at the present margin.",
    "margins.png": "FNIR by FPIR with other margins, along the thresholds 0.30 to 0.70.",
    "gallery-sizes.png": "The threshold that larger galleries need for the wanted FPIR. The band "
    "is the 95 % interval over people.",
    "discard.png": "FNIR after the probes with the lowest values of a measure are discarded.",
}


def _det(evaluation: Evaluation) -> bytes | None:
    det = evaluation.det
    if det is None:
        return None
    fpir, fnir, low, high = (
        [_PERCENT * value for value in values] for values in (det.fpir, det.fnir, det.low, det.high)
    )
    return draw_chart(
        "Detection error trade-off",
        Axis("FPIR, %", fpir[0], fpir[-1], logarithmic=True),
        Axis("FNIR, %", _LEAST_PERCENT, _PERCENT, logarithmic=True),
        [Line("FNIR", fpir, fnir, low, high)],
    )


def _threshold(evaluation: Evaluation) -> bytes:
    swept = evaluation.sweep
    row = int(abs(swept.margins - evaluation.policy.margin).argmin())
    thresholds = swept.thresholds.tolist()
    return draw_chart(
        f"Error rates, margin {swept.margins[row]:.2f}",
        Axis("threshold, cosine", thresholds[0], thresholds[-1]),
        Axis("%", 0, _PERCENT),
        [
            Line("FPIR", thresholds, (_PERCENT * swept.fpir[row]).tolist()),
            Line("FNIR", thresholds, (_PERCENT * swept.fnir[row]).tolist()),
        ],
    )


def _margins(evaluation: Evaluation) -> bytes:
    swept = evaluation.sweep
    lines = []
    for margin in _MARGINS_SHOWN:
        row = int(abs(swept.margins - margin).argmin())
        # Of thresholds with one FPIR the lowest: it misses the fewest.
        best = dict(zip(swept.fpir[row][::-1], swept.fnir[row][::-1], strict=True))
        points = sorted((fpir, fnir) for fpir, fnir in best.items() if fpir > 0)
        if points:
            lines.append(
                Line(
                    f"margin {swept.margins[row]:.2f}",
                    [_PERCENT * fpir for fpir, _ in points],
                    [_PERCENT * fnir for _, fnir in points],
                )
            )
    return draw_chart(
        "Threshold and margin together",
        Axis("FPIR, %", _LEAST_PERCENT, _PERCENT, logarithmic=True),
        Axis("FNIR, %", _LEAST_PERCENT, _PERCENT, logarithmic=True),
        lines,
    )


def _sizes(evaluation: Evaluation) -> bytes | None:
    larger = evaluation.larger
    if not larger:
        return None
    return draw_chart(
        f"Threshold for an FPIR of {_PERCENT * evaluation.wanted_fpir:g} %",
        Axis("enrolled people", larger[0].size, larger[-1].size, logarithmic=True),
        Axis("threshold, cosine", 0.2, 0.8),
        [
            Line(
                "threshold",
                [one.size for one in larger],
                [one.threshold[0] for one in larger],
                [one.threshold[1] for one in larger],
                [one.threshold[2] for one in larger],
            )
        ],
    )


def _discard(evaluation: Evaluation) -> bytes | None:
    if not evaluation.discards:
        return None
    highest = _PERCENT * max(max(one.fnir) for one in evaluation.discards)
    return draw_chart(
        "Error versus discard",
        Axis("discarded, %", 0, _PERCENT * evaluation.discards[0].shares[-1]),
        Axis("FNIR of the rest, %", 0, max(highest, 1.0)),
        [
            Line(
                one.measure,
                [_PERCENT * share for share in one.shares],
                [_PERCENT * value for value in one.fnir],
            )
            for one in evaluation.discards[:5]
        ],
    )
