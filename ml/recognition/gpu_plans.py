"""How detector and embedder run on a GPU: the settings, and the shapes of their inputs."""

import numpy as np

from config.settings import ModelSettings
from ml.detection.dense_detector import MAX_BATCH as MAX_PICTURES
from ml.detection.letterbox import canvas_size, canvas_sizes
from ml.recognition.alignment import ALIGNED_SIZE
from ml.recognition.embedders import MAX_BATCH as MAX_FACES
from ml.recognition.uprightness import SHEET_SIZE
from ml.runtime.gpu.provider_options import GpuPlan, ShapeRange
from ml.runtime.model_placement import ModelRole, Placement
from ml.runtime.model_registry import expanded

# What TensorRT's engines are fastest for: a batch of a worker (FECAPASS_WORKERS__BATCH_SIZE) of
# what an ordinary camera sends, and the faces in it.
_USUAL_PICTURE = (480, 640, 3)
_USUAL_PICTURES = 8
_USUAL_FACES = 16


def gpu_plan(settings: ModelSettings, role: ModelRole, placement: Placement) -> GpuPlan:
    """How a model runs if its place is a GPU.

    Raises:
        ModelError: the cache directory is in a home directory that there is not.
    """
    return GpuPlan(
        memory_limit=settings.gpu_memory_limit,
        convolution_search=settings.gpu_convolution_search,
        io_binding=settings.gpu_io_binding,
        float16=placement.precision == "float16",
        cache_dir=expanded(settings.cache_dir, "CACHE_DIR"),
        shapes=input_shapes(role, settings.detection_long_side),
    )


def input_shapes(role: ModelRole, long_side: int) -> ShapeRange:
    """The inputs of a model: canvases of pictures and of the second look, or aligned faces.

    Args:
        role: which model.
        long_side: of the detector's canvases, see `ml.detection.letterbox.canvas_sizes`.
    """
    if role == "embedder":
        face = (3, ALIGNED_SIZE, ALIGNED_SIZE)
        return ShapeRange((1, *face), (_USUAL_FACES, *face), (MAX_FACES, *face))
    sizes = canvas_sizes(long_side) | canvas_sizes(max(SHEET_SIZE))
    heights, widths = ([size[side] for size in sizes] for side in (0, 1))
    usual = canvas_size(np.zeros(_USUAL_PICTURE, np.uint8), long_side)
    return ShapeRange(
        (1, 3, min(heights), min(widths)),
        (_USUAL_PICTURES, 3, *usual),
        (MAX_PICTURES, 3, max(heights), max(widths)),
    )
