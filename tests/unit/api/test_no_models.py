"""The API process holds no model."""

import subprocess
import sys

HEAVY = ("onnxruntime", "cv2", "openvino", "faiss", "onnx")


def test_the_api_loads_no_runtime_of_models():
    script = f"import sys, api.http.server; print(*(one for one in {HEAVY} if one in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
