"""The storms: failure, load and change, and the books that show that nothing is lost.

`python -m storm` brews all of them, `python -m storm NAME` one; docs/storms.md has the figures.

what is sent   mail, oddities; load and sink are the two ends, ledger keeps the books
where          stage (a relay in the queue-first layout), wire (alignd alone), faults (bad DNS)
the storms     processes, outages, endurance, hostile, odd; table has them all
the story      run (order and outcome), report
"""
