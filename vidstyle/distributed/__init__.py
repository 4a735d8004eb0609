"""Renders spread over processes and machines."""
