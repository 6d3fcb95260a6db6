"""Watching a training: numbers, pictures, a page. No digest of code depends on this package (:mod:`featdiff.meaning`).

So nothing in here may change what a training computes: it is given copies, draws from streams of its own, and leaves
torch's settings as they are.
"""
