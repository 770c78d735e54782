"""Parts of `sinks.main.visit_store`, and of the main database's personal data in visits."""
