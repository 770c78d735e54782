"""Properties of an image, read from its bytes without decoding."""
