"""The kinds of things that a project chooses from: a class each, with its settings, its name for people and what it
does.

Samplers, corruptions, guidance, measures, blocks of the network and layouts of a data set have a file each, which ends
with the one table of them. Settings, dispatch, the report's labels and the lists in the docs all derive from these
tables. No torch is imported here but inside methods: the settings of a thousand jobs are read without it.
"""
