"""The storms: failure, load and change, and the accounts that show that nothing is lost.

`python -m storm` brews all of them, `python -m storm NAME` one; docs/storms.md has the figures.

what is sent   mail, oddities; accounts of what was taken and what arrived
where          mail_path (a relay in the queue-first layout), service (alignd alone)
the storms     processes, outages, world (faults), endurance, hostile, odd; table has them all
the story      run (order and outcome), progress (console), page (docs/storms.md)
"""
