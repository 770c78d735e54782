"""Workers with one protection taken out: against them the harness must find flaws.

Each module runs ``fecapass`` with one thing changed: ``python -m tests.chaos.sabotage.NAME worker
KIND``.
"""
