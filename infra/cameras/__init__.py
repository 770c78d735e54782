"""`fecapass publish`: frames of files, folders and streams onto `camera.frames`."""
