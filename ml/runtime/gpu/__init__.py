"""What sessions on a GPU need besides those on a CPU."""
