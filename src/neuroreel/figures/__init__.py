"""The paper's figures, drawn from an experiment's results or from the authors' published files.

A panel is a function ``panel(table, ax) -> Drawn``; a figure is a function in ``paper`` that lays out panels.
"""
