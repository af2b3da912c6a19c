"""The processes of `alignd serve`: a supervisor, workers that serve mail, a monitor for metrics.

Imports `mta`, `doctor`, `telemetry`, `resolver` and what is below them; of the command line it
knows nothing. Begin with `supervisor`, which forks all others through `child_process`; `worker`
serves mail, `monitor` serves metrics, and `self_check` warns of bad DNS in the background.
"""
