"""Follow faces from frame to frame of one camera. Pure functions of a camera's state."""
