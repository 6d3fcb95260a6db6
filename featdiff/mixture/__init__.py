"""Exact Gaussian mixtures: density, denoiser, and the study of what guidance does to them."""

TABLES = ("guidance", "splitting", "thresholds", "neighbours", "convergence", "orders")
BRIDGE_TABLES = ("denoising", "components")
