"""Runs the command line: `python -m alignd`."""

from alignd.cli.main import main

if __name__ == "__main__":
    main(prog_name="alignd")
