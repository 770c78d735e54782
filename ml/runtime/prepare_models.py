"""``python -m ml.runtime.prepare_models``: the built-in models into the cache.

A worker does the same at its first start; done at build time, a container needs neither the time
nor a place to write.
"""

import sys

from config.settings import ConfigurationError, DetectSettings, load_settings
from domain.images.image_errors import ModelError
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin


def main() -> int:
    """Prepare both models where ``FECAPASS_MODELS__CACHE_DIR`` says; returns the exit code."""
    try:
        cache = load_settings(DetectSettings).models.cache_dir
        for model in (YUNET, SFACE):
            sys.stdout.write(f"{model.id}: {prepare_builtin(model, cache)}\n")
    except (ConfigurationError, ModelError) as error:
        sys.stderr.write(f"ml.runtime.prepare_models: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
