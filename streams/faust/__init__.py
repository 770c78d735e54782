"""All code that uses Faust."""
