"""The command line: the options, the commands, and the text and JSON that they print.

It may import every other package, and is the only one that knows click and rich. Begin with
`main`, which has the table of commands; `commands` has a module for each, `render` turns their
results into lines and JSON, `text` lays out lines, and `options` is what the commands share.
"""
