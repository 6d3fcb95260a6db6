"""Versions of results: what ``featdiff ledger`` does. Of the package, only this folder needs Snakemake, DVC or git."""
