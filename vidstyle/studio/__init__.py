"""The studio: a page on this machine to choose, preview and render, and its queue of renders.

The server needs the optional dependencies ``vidstyle[web]``.
"""
