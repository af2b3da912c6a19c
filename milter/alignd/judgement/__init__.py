"""One message, from words to edits: the core of the product.

Pure: the message, DNS, the time and the configuration are arguments. Imports `config`, `mailauth`
and `mail`. Begin with `review.Reviewer.judge`, the road that every message takes; every rule
stands in `decision.decide`, every change in `rewrite`, every word of the log in `reasons`, and
`evidence` is all of a message that a judgement may look at. What comes back takes
another road, `return_leg.ReturnReviewer.judge`: `arrival` finds what its receiver would, and
`forwarding` plans what changes.
"""
