"""Spatial transformers: grids of points at which to sample a warped image."""
