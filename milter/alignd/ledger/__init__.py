"""The memory of author domains: what happened to each, when it changed, and who is told.

It knows domains and numbers, and never an address, a subject or a message id. It may import
`resolver`, `judgement` and what is below them. Begin with `answer`, then `batch`: what workers say
of each message, and what is written of it. `tables` has the schema.
"""
