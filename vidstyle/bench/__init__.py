"""Benchmarks of speed and of temporal consistency, with textbook implementations as baselines."""
