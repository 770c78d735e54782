"""``python -m ml.runtime.prepare_models``: the built-in models into the cache.

A worker does the same at its first start; done at build time, a container needs neither the time
nor a place to write.
"""

import sys

from config.settings import ConfigurationError, DetectSettings, load_settings
from domain.images.image_errors import ModelError
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin


def main() -> int:
    """Prepare the models where ``FECAPASS_MODELS__CACHE_DIR`` says; returns the exit code.

    The embedder is prepared in float32 and in int8: the processor of the worker decides which one
    is used.
    """
    try:
        cache = load_settings(DetectSettings).models.cache_dir
        for model, quantized in ((YUNET, False), (SFACE, False), (SFACE, True)):
            path = prepare_builtin(model, cache, quantized=quantized)
            sys.stdout.write(f"{model.id}{' in int8' if quantized else ''}: {path}\n")
    except (ConfigurationError, ModelError) as error:
        sys.stderr.write(f"ml.runtime.prepare_models: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
