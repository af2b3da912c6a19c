"""The demo: Marky's reply to Julia, blocked without alignd and delivered with it.

From the outside in: `__main__` becomes root and steps into namespaces of its own; `servers` runs
DNS, relay and receiver there; `journey` sends a message and follows it, `acts` says what has to
become of it, and `narrator` shows what did. The DNS of the story is in story.zone.
"""
