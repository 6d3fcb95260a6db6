"""The settings of a project, typed, a file for each stage; :mod:`featdiff.settings.project` has them all."""
