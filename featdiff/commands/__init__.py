"""The commands, as plain functions, a file for each group; :mod:`featdiff.cli` gives them their names."""
