"""Everything around the pipeline: command line, embedded stack, migrations, operations."""
