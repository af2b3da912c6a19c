"""DMARC aggregate reports: finds, unpacks and reads them, and says who sent them.

Everything here is a stranger's: what is read is bounded, and what is wrong is a value. It imports
`mail_store`, `judgement`, `mailauth` and `mail`; `document` alone knows lxml, and opens nothing.
Begin with `intake.find_parcels`, which alone does I/O; `read.read_report` reads one.
"""
