"""The paper's figures: drawn from an experiment's results, or from the files that the paper's authors published.

A panel is a function ``panel(table, ax) -> Drawn``; a figure is a function of ``paper`` that lays panels out.
"""
