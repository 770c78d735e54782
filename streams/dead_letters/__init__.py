"""Messages that could not be processed: written, read, replayed."""
