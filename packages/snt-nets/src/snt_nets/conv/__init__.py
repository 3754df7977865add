"""Convolutions: one engine, a window that moves over tensors, and the layers on it."""
