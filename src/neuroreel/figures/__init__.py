"""The paper's figures: drawn from an experiment's results, or from the files that the paper's authors published.

A figure is a module with panel functions ``panel(table, ax) -> Drawn`` and a function ``draw(material) -> Sheet`` that
lays them out; ``catalog`` says which experiment has which figures.
"""
