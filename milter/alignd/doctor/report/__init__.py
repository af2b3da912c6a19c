"""The report of `alignd doctor` as a file, for those who may not look at what it looks at.

`document` is the JSON and what is read of it; `file` saves and loads it, and is the only I/O.
"""
