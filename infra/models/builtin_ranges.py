"""``python -m infra.models.builtin_ranges``: the activation ranges of SFace, measured again.

The pictures are those of the demo: an astronaut and a man in a car, in all `conditions`. The table
is committed, the pictures are not. A new table is another int8 model: write the SHA-256 of its
int8 form, which is printed, into `ml.runtime.model_registry`, write the golden numbers again and
measure the accuracy (docs/performance.md, "Precision") and the trusted length
(docs/operations.md, "Unreliable faces").
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import ml.runtime
from config.settings import ModelSettings
from domain.arrays import Image
from infra.cameras.sources import VideoSource
from infra.demo.sample_media import ASTRONAUT, CARPHONE
from infra.models.calibration import aligned_faces, conditions
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import SFACE, prepare_builtin
from ml.runtime.onnx_quantize import quantize_model
from ml.runtime.range_measurement import measure_ranges
from ml.runtime.sessions import to_nchw

_EVERY = 12  # frames of the car's video


def pictures() -> Iterator[Image]:
    """The pictures of the demo that show faces."""
    astronaut = cv2.imread(str(ASTRONAUT.locate()), cv2.IMREAD_COLOR)
    yield np.asarray(astronaut, np.uint8)
    source = VideoSource(CARPHONE.locate())
    for number, frame in enumerate(source.frames()):
        if number % _EVERY == 0 and not isinstance(frame.data, bytes):
            yield np.asarray(frame.data, np.uint8)
    source.close()


def main() -> int:
    """Write the table; returns the exit code."""
    settings = ModelSettings(execution_provider="cpu", precision="float32")
    detector = build_analyser(settings).detector
    faces = conditions(aligned_faces(detector, pictures()))
    model = prepare_builtin(SFACE, settings.cache_dir).read_bytes()
    ranges = measure_ranges(model, (to_nchw([face], rgb=True) for face in faces))
    file = Path(ml.runtime.__path__[0]) / "activation_ranges" / f"{SFACE.id}.json"
    lines = (f" {json.dumps(name)}: {json.dumps(values)}" for name, values in ranges.items())
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    sha256 = hashlib.sha256(quantize_model(model, ranges)).hexdigest()
    sys.stdout.write(f"{file}: {len(ranges)} activations; int8 form: SHA-256 {sha256}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
