"""Natural video through the whole pipeline, compared with an older checkout and with OpenCV."""
