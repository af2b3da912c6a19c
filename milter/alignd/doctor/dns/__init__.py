"""Checks DNS: what mail of the relay depends on, and which reports receivers are asked for."""
