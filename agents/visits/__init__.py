"""The visits agent: matches in; who was at a camera, from when to when, stored and published."""
