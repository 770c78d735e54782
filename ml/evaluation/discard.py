"""Does a quality score do what it is for? Error-versus-discard curves. Pure.

If the probes with the lowest quality are discarded, the error of the others falls, the faster the
better the score predicts errors (P. Grother and E. Tabassi, "Performance of biometric quality
measures", PAMI 2007; ISO/IEC 29794-1:2024 has the curve).
"""

import numpy as np

from ml.evaluation.open_set import Bools, Floats

#: Shares of the probes that are discarded.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)

#: Fewer errors than this tell nothing about what predicts them.
LEAST_ERRORS = 20


def error_versus_discard(
    errors: Bools, quality: Floats, shares: tuple[float, ...] = SHARES
) -> list[float]:
    """The share of errors among the probes that are left, by share discarded.

    Of probes with the same quality none is preferred: their errors count in proportion.

    Args:
        errors: (M,); which probes are errors, at least one probe.
        quality: (M,); higher is better.
        shares: to discard, at least 0, less than 1.
    """
    _, level, counts = np.unique(quality, return_inverse=True, return_counts=True)
    rates = np.bincount(level, weights=errors) / counts
    expected = rates[np.sort(level)]
    left = [expected[round(share * len(expected)) :] for share in shares]
    return [float(part.mean()) if part.size else 0.0 for part in left]
