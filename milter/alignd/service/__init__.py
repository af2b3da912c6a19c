"""The processes of `alignd serve`: a supervisor, workers, a monitor, and the archive's own.

Imports `mta`, `doctor`, `telemetry`, `resolver` and what is below them; of the command line it
knows nothing. Begin with `supervisor`, whose loop keeps the others running: `workers` those that
serve mail (`worker`), `processes` each other one (`monitor` serves metrics, `archive_process`
keeps DNS answers). `setup` is what they run with, `loading` loads another, `inputs` follows what
changes by itself, `shared` outlives each of them, `in_force` describes what is for the status
document.
`self_check` warns of bad DNS in the background.
"""
