"""Where receivers send DMARC aggregate reports: what a domain asks for, and who may be asked.

It imports `mailauth` and `mail`, and does no I/O. Begin with `destination`.
"""
