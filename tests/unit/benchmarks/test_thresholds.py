"""What the benchmark of thresholds finds in galleries whose people are unlike each other."""

import numpy as np

from benchmarks.gallery.templates import Statistics
from benchmarks.gallery.thresholds import measure


def by_subject(size, photos):
    found = measure(Statistics.isotropic(128), size, photos, 400)
    return {one.subject: one.values for one in found}


def test_larger_galleries_need_higher_thresholds():
    small, large = (by_subject(size, 3)["FPIR 1 %"] for size in (50, 2000))
    assert small["threshold"] < large["threshold"]
    for values in (small, large):
        assert values["low"] <= values["fpir_percent"] <= values["high"]
        assert values["fpir_with_margin_percent"] <= values["fpir_percent"]


def test_more_photos_miss_fewer_of_the_enrolled():
    one, three = (by_subject(200, photos) for photos in (1, 3))
    missed = [
        np.mean([each["fnir_with_margin_percent"] for each in rows.values()])
        for rows in (one, three)
    ]
    assert missed[1] <= missed[0]
