"""Photos on their way to `photo.uploads`, and the answers that come back."""
