"""Workers without one of their protections: the harness must find flaws.

Each module runs ``fecapass`` with one change: ``python -m tests.chaos.sabotage.NAME worker KIND``.
"""
