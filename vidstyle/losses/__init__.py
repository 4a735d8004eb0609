"""The objective: content, style, patch-matching, total-variation and temporal losses."""
