"""DNS over the network, and from a zone file."""
