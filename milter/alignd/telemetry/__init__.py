"""What the service says of itself: the log, and metrics for Prometheus.

Imports `resolver`, `judgement` and what is below them, for the words that label its numbers.
Begin with `log` and `metrics`; `counters` is the shared memory under the metrics, and `prometheus`
writes them as text.
"""
