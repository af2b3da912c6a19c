"""The processes of `alignd serve`: a supervisor, workers that serve mail, a monitor for metrics.

Imports `mta`, `doctor`, `telemetry`, `resolver` and what is below them; of the command line it
knows nothing. Begin with `supervisor`, whose loop keeps the others running: `workers` those that
serve mail (`worker`), `auxiliary_process` each other one (`monitor` serves metrics). Both fork
through `child_process`, try again what fails with `patience`, and load a new `setup` by `loading`.
`signals` and `notification` are what the supervisor hears and what systemd hears of it.
`self_check` warns of bad DNS in the background.
"""
