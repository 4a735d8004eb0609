"""The process: CPU and memory limits, devices, signals and worker threads."""
