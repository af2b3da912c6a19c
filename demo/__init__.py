"""The demo: Marky's reply to Julia, blocked without alignd and delivered with it.

From the outside in: `__main__` becomes root and steps into a network of its own;
`stage` sets up DNS, relay and receiver there, out of `process`, `daemons` and `postfix`;
`journey` sends a message and follows it, `acts` says what has to become of it, and `report`
shows what did. Who is who stands in `cast`, the DNS of the story in story.zone.
"""
