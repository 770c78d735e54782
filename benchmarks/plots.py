"""The results as pictures, one or more a benchmark."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from cycler import cycler

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import Report, Result

_PRODUCT = "product's gallery"
_WIDTH, _HEIGHT = 9.0, 4.5
# The search has more subjects than the usual ten colours.
_COLOURS = "tab20"


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw what there is.

    Args:
        report: of one benchmark.
        folder: takes the PNG files; is made if need be.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams["axes.prop_cycle"] = cycler(color=plt.get_cmap(_COLOURS)(range(20)))
    drawn = []
    for benchmark, plot in _PLOTS.items():
        # The bare models are drawn with the pipeline, whose run measures them.
        named = {benchmark, "models"} if benchmark == "pipeline" else {benchmark}
        results = [one for one in report.results if one.benchmark in named]
        if results:
            drawn += plot(results, folder)
    return drawn


def _pipeline(results: Sequence[Result], folder: Path) -> list[Path]:
    """Frames a second of every subject by case."""
    return [_bars(results, "frames_per_second", "frames a second", folder / "pipeline.png")]


def _cpu(results: Sequence[Result], folder: Path) -> list[Path]:
    """Where the pipeline's CPU time goes."""
    piped = [one for one in results if one.subject == "pipeline" and one.details]
    drawn = _pipeline(results, folder)
    if not piped:
        return drawn
    figure, axes = plt.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    labels = [_label(one) for one in piped]
    base = [0.0] * len(piped)
    for name in [key for key in piped[0].details if key.startswith("cpu_ms ")]:
        values = [one.details.get(name, 0.0) for one in piped]
        axes.bar(labels, values, bottom=base, label=name.removeprefix("cpu_ms "))
        base = [low + value for low, value in zip(base, values, strict=True)]
    axes.set_ylabel("CPU milliseconds a frame")
    axes.set_yscale("linear")
    return [*drawn, _save(figure, axes, folder / "pipeline-cpu.png")]


def _latency(results: Sequence[Result], folder: Path) -> list[Path]:
    figure, axes = plt.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    piped = [one for one in results if one.subject == "pipeline"]
    for one in piped:
        shares = ["p50_ms", "p95_ms", "p99_ms"]
        axes.plot(
            ["p50", "p95", "p99"], [one.values[name] for name in shares], "o-", label=_label(one)
        )
    bare = [one for one in results if "model_ms" in one.values]
    if bare:
        axes.axhline(bare[0].values["model_ms"], ls=":", color="grey", label="bare models")
    axes.set_ylabel("milliseconds from ce_time to the match event")
    axes.set_ylim(bottom=0)
    return [_save(figure, axes, folder / "latency.png")]


def _sinks(results: Sequence[Result], folder: Path) -> list[Path]:
    return [_bars(results, "items_per_second", "items a second", folder / "sinks.png")]


def _search(results: Sequence[Result], folder: Path) -> list[Path]:
    drawn = []
    for dimension in sorted({one.case["dimension"] for one in results}):
        some = [one for one in results if one.case["dimension"] == dimension]
        figure, both = plt.subplots(
            1, 2, figsize=(2 * _WIDTH * 0.8, _HEIGHT * 1.3), layout="constrained", sharey=True
        )
        for axes, value, title in zip(
            both, ("p50_ms", "batch_ms"), ("alone", "in batches of 16"), strict=True
        ):
            for subject in dict.fromkeys(one.subject for one in some):
                own = [one for one in some if one.subject == subject]
                axes.plot(
                    [one.case["gallery"] for one in own],
                    [one.values[value] for one in own],
                    "o-",
                    label=subject,
                    lw=3 if subject == _PRODUCT else 1,
                )
            axes.set(xscale="log", yscale="log", xlabel="templates", title=title)
        both[0].set_ylabel("milliseconds a query")
        path = folder / f"search-{dimension}d.png"
        drawn.append(_save(figure, both[1], path))
        drawn.append(_recall(some, folder / f"recall-{dimension}d.png"))
    return drawn


def _recall(results: Sequence[Result], path: Path) -> Path:
    """Recall against time: the corner up and left is the best."""
    figure, axes = plt.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    pgvector = [one for one in results if one.subject.startswith("pgvector")]
    size = max(one.case["gallery"] for one in pgvector or results)
    for one in results:
        if one.case["gallery"] == size:
            axes.plot(one.values["p50_ms"], one.values["recall_at_1"], "o", label=one.subject)
    axes.set(
        xscale="log", xlabel="milliseconds a query", ylabel="recall@1", title=f"{size} templates"
    )
    return _save(figure, axes, path)


def _scale(results: Sequence[Result], folder: Path) -> list[Path]:
    rated = [one for one in results if "frames_per_second" in one.values]
    figure, axes = plt.subplots(figsize=(1.3 * _WIDTH, _HEIGHT), layout="constrained")
    labels = [f"{one.subject}\n{_label(one)}" for one in rated]
    axes.bar(labels, [one.values["frames_per_second"] for one in rated])
    axes.set_ylabel("frames a second")
    axes.tick_params(axis="x", labelsize=7)
    return [_save(figure, None, folder / "scale.png")]


def _bars(results: Sequence[Result], value: str, title: str, path: Path) -> Path:
    """Groups of bars, one a subject in each case."""
    figure, axes = plt.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    cases = list(dict.fromkeys(_label(one) for one in results))
    subjects = list(dict.fromkeys(one.subject for one in results))
    width = 0.8 / len(subjects)
    for number, subject in enumerate(subjects):
        own = [one for one in results if one.subject == subject and value in one.values]
        places = [cases.index(_label(one)) + number * width for one in own]
        axes.bar(places, [one.values[value] for one in own], width, label=subject)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(cases))], cases, fontsize=8)
    axes.set(yscale="log", ylabel=title)
    return _save(figure, axes, path)


def _label(result: Result) -> str:
    return ", ".join(
        f"{value}" if name in {"size", "kind", "pace"} else f"{name} {value}"
        for name, value in result.case.items()
    )


def _save(figure: Figure, axes: Axes | None, path: Path) -> Path:
    if axes is not None:
        axes.legend(fontsize=8)
    for each in figure.axes:
        each.grid(visible=True, axis="y", alpha=0.3)
        each.set_axisbelow(b=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


_PLOTS: dict[str, Callable[[Sequence[Result], Path], list[Path]]] = {
    "pipeline": _cpu,
    "latency": _latency,
    "sinks": _sinks,
    "search": _search,
    "scale": _scale,
}
