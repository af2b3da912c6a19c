"""The parts of the page of a domain: the example, the checks, the records, the past. Pure."""
