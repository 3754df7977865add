"""Whole-sequence forms of cores, for `snt.dynamic_unroll` and `snt.static_unroll`."""
