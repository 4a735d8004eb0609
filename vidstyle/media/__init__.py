"""Frames from and to files: what a clip is, how it is opened and decoded, encoded, and joined with all it had beside."""
