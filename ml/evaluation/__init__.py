"""How well a model and its settings distinguish people. Arrays in, arrays out."""
