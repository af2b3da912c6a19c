"""The benchmark: alignd beside an empty milter, its peers, and Postfix alone, in one run.

`make bench` runs all of it and writes docs/bench.md.

the load       load.c plays Postfix; generator builds and runs it
who is loaded  setup (DNS and configuration), empty (the yardstick), peers
what is asked  speed, through_postfix, growth, stages, trifles
the story      page (docs/bench.md), plot, __main__
"""
