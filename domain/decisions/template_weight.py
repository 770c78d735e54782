"""How much does a photo count in the template? A pure function of its quality.

The embedding of a weak photo is the person's with more noise. The best mean of such embeddings
weights each by s / (1 - s * s), where s is its cosine to the person's true direction (inverse
variance, with the noise of unit vectors). ``python -m benchmarks enrolment`` measures s by quality
on the project's labelled portraits and on copies of them that are blurred, small, dark, bright or
noisy.
"""

from itertools import pairwise

#: Quality and weight; between them the weight is linear.
_POINTS = ((0.0, 0.15), (0.05, 0.45), (0.6, 1.0), (1.0, 1.0))

#: The weight of photos that were enrolled before photos had one: those of good quality alone.
FULL = 1.0


def template_weight(quality: float) -> float:
    """The weight of a photo in the mean of its user's photos, 0.15 to 1.

    Args:
        quality: fitness for recognition, 0 to 1.
    """
    for (low, light), (high, heavy) in pairwise(_POINTS):
        if quality <= high:
            return light + (heavy - light) * max(0.0, quality - low) / (high - low)
    return FULL
