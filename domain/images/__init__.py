"""What an image is, told from its bytes without decoding."""
