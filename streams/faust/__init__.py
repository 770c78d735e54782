"""All that touches Faust."""
