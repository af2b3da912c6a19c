"""Reads mail stores: files, directories, mboxes and Maildirs.

It imports nothing of alignd, and opens the files of the mail store alone. Begin with
`messages.find_messages`.
"""
