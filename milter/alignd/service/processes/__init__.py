"""How a supervisor keeps its processes: forks, pauses, signals, and what systemd is told.

Imports `telemetry`, and nothing of what the processes do. Begin with `child_process`.
"""
