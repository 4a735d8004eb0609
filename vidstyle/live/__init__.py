"""A camera in, its painting out: the session, how it is steered, and where it is shown."""
