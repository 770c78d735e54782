"""`fecapass evaluate`: photos of people in, error rates and settings out."""
