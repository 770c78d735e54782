"""Who was at a camera, from when to when: pure functions of its faces."""
