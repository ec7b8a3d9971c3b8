"""How good a model is, and why: metrics, evaluation on untouched rows, feature importance, plots.

Nothing here fits a model, and nothing here chooses one.
"""
