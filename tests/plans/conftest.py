"""Copies of the project for what needs no run of the whole graph."""

from tests.workflow.conftest import pristine, project, small

__all__ = ["pristine", "project", "small"]
