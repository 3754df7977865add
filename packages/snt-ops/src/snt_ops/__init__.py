"""Compiled operations of Sonnet. There are none so far: the package holds their place."""
