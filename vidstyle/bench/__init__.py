"""How fast and how steady it is, beside textbook code."""
