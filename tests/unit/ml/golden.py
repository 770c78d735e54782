"""What the default models find in the shared pictures, as few numbers as tell it.

``FECAPASS_SHARED=... python -m tests.unit.ml.golden`` writes `FILE` again: only where a change of
accuracy is meant. The embeddings of other precisions are in `PRECISIONS`; the processor must have
both. Those with the mirror image are in `MIRROR`, in float32.
"""

import json
import os
from pathlib import Path

import numpy as np

from config.settings import ModelSettings
from ml.recognition.face_analyser import AnalysedFace, build_analyser
from tests.unit.ml.conftest import read

FILE = Path(__file__).parent / "golden.json"
PRECISIONS = Path(__file__).parent / "golden_precisions.json"
MIRROR = Path(__file__).parent / "golden_mirror.json"

#: How OpenVINO's embedder is asked for each.
PRECISE = {
    precision: {
        "detector_provider": "cpu",
        "embedder_provider": "openvino",
        "embedder_precision": precision,
    }
    for precision in ("bfloat16", "int8")
}

# Four fixed directions: embeddings that agree along these agree.
DIRECTIONS = np.random.default_rng(1).standard_normal((128, 4)).astype(np.float32)


def pictures(shared: Path) -> list[Path]:
    return sorted(
        [*(shared / "data/faces").rglob("*.jpg"), *(shared / "data/groups").rglob("*.jpg")]
    )


def rows_of(faces: list[AnalysedFace]) -> list[list[float]]:
    """Each face's box, score, quality and embedding along `DIRECTIONS`, from left to right."""
    rows = [
        [*face.box, face.score, face.quality.score, *(face.embedding @ DIRECTIONS)]
        for face in faces
    ]
    return sorted([round(float(value), 3) for value in row] for row in rows)


def embedded(faces: list[AnalysedFace]) -> list[list[float]]:
    """Each face's embedding along `DIRECTIONS`, faces from left to right."""
    return [
        [round(float(value), 3) for value in face.embedding @ DIRECTIONS]
        for face in sorted(faces, key=lambda one: tuple(one.box))
    ]


def embeddings_of(settings: ModelSettings, shared: Path) -> dict[str, list[list[float]]]:
    """`embedded` of each of `pictures`."""
    analyser = build_analyser(settings)
    return {
        str(path.relative_to(shared)): embedded(analyser.analyse([read(path)])[0])
        for path in pictures(shared)
    }


def main() -> None:
    shared = Path(os.environ["FECAPASS_SHARED"])
    analyser = build_analyser(ModelSettings(execution_provider="cpu", precision="float32"))
    found = {
        str(path.relative_to(shared)): rows_of(analyser.analyse([read(path)])[0])
        for path in pictures(shared)
    }
    lines = (f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    in_float32 = ModelSettings(execution_provider="cpu", precision="float32", embedder_mirror=True)
    found = embeddings_of(in_float32, shared)
    lines = (f"{json.dumps(name)}: {json.dumps(faces)}" for name, faces in found.items())
    MIRROR.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    lines = []
    for precision, asked in PRECISE.items():
        found = embeddings_of(ModelSettings(**asked), shared)
        rows = (f"  {json.dumps(name)}: {json.dumps(faces)}" for name, faces in found.items())
        lines.append(f" {json.dumps(precision)}: {{\n" + ",\n".join(rows) + "\n }")
    PRECISIONS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
