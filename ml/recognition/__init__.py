"""A face to its embedding: alignment, embedders, quality."""
