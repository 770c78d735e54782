"""The console script ``fecapass``: one file per command.

A command's file imports at its top only what its signature needs (typer, pathlib) and the rest
inside the function, so that ``fecapass --help`` answers at once.
"""
