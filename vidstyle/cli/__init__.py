"""The command line: one module for each command."""

from .main import build_parser, main, program

__all__ = ["build_parser", "main", "program"]
