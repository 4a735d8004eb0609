"""Optimisers over pixels, and the engines that run their steps."""
