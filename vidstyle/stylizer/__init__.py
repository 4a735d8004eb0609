"""The stylizer: warm start, style targets and the per-frame optimisation."""
