"""The commands, one in each module, which imports no other command.

A command reads its options and input, calls a package below, prints what `render` makes of the
result, and ends with an exit status. Begin with `explain`, which takes the shortest way.
"""
