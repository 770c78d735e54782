import sys
from pathlib import Path

import pytest

from benchmarks.video.checkouts import Checkout
from benchmarks.video.memory import SENT, Sample, growth
from benchmarks.video.scenes import Scene
from benchmarks.video.video import ratios_of, results_of

SCENE = Scene("video", "640x480", [[b""]], 10.0)
RATE = "frames_per_second"


def a_round(ours, theirs, cpu=1.0):
    return {
        ("OpenCV", SCENE): {RATE: 1.0},
        ("here", SCENE): {RATE: ours, "cpu_ms worker detect": cpu},
        ("baseline", SCENE): {RATE: theirs},
    }


def test_ratios_are_taken_round_by_round():
    # A machine that gets slower favours neither.
    rounds = [a_round(30.0, 10.0), a_round(16.0, 4.0), a_round(2.0, 1.0)]
    (ratio,) = ratios_of(rounds, "here", "baseline")
    assert (ratio.value, ratio.ratio, ratio.spread) == (RATE, 3.0, (2.0, 4.0))


def test_what_only_one_of_both_has_is_not_compared():
    rounds = [a_round(30.0, 10.0)]
    assert [one.value for one in ratios_of(rounds, "here", "OpenCV")] == [RATE]


def test_results_are_medians_with_the_processes_apart():
    rounds = [a_round(30.0, 10.0, 1.0), a_round(20.0, 10.0, 5.0), a_round(10.0, 10.0, 3.0)]
    result = next(one for one in results_of(rounds) if one.subject == "here")
    assert result.values == {RATE: 20.0}
    assert result.details == {"cpu_ms worker detect": 3.0}


def test_a_checkout_runs_with_its_own_environment_if_it_has_one(tmp_path):
    assert Checkout("old", tmp_path).python == sys.executable
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert Path(Checkout("old", tmp_path).python) == own


def samples(minutes, mib):
    shares = [second / (60 * minutes) for second in range(0, 60 * minutes, 5)]
    return [Sample(share, {"detect": mib(share), SENT: 100 * share}) for share in shares]


def test_growth_is_that_between_the_two_stretches():
    # 60 MiB in 30 minutes: the middles of minutes 5 to 15 and 20 to 30 are 15 minutes apart.
    detect, sent = growth(samples(30, lambda share: 200 + 60 * share), 30)
    assert detect.subject == "detect"
    assert detect.values["grown_mib"] == pytest.approx(30, abs=0.5)
    assert detect.values["mib_per_hour"] == pytest.approx(120, abs=2)
    assert sent.subject == SENT


def test_what_is_taken_at_the_start_is_no_growth():
    detect, _ = growth(samples(30, lambda share: 300 if share > 0.1 else 900 * share), 30)
    assert detect.values["grown_mib"] == 0


def test_too_short_a_run_is_an_error():
    with pytest.raises(ValueError, match="too short"):
        growth([Sample(0.0, {"detect": 1.0})], 0.1)
