"""Whether the relay is set up right."""
