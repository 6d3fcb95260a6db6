"""Trained models: what can be loaded and asked."""
