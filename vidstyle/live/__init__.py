"""Live sessions: stylise a camera's frames, and send them to a window and other outputs."""
