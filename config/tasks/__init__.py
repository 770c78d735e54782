"""Background tasks that are restarted, and cancellations that libraries leak."""
