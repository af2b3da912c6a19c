"""DMARC aggregate reports: finds, unpacks and reads them, and says who sent them.

Everything here is a stranger's: what is read is bounded, and what is wrong is a value. It imports
`mail_store`, `judgement`, `mailauth` and `mail`; `document` alone knows lxml, and opens nothing.
`intake` and `imap` alone do I/O. Begin with `intake.find_parcels`; `read.read_report` reads one.
"""
