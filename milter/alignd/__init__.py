"""alignd keeps helpdesk mail out of the DMARC trap."""
