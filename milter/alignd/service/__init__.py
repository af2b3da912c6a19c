"""The processes: supervisor, workers, monitor."""
