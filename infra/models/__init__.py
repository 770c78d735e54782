"""Quantising models: pictures, ranges of activations, and the loss of accuracy."""
