"""Modules and variable sharing: the core of Sonnet. Use it through `import sonnet as snt`."""

from snt_core.versions import require_tensorflow

require_tensorflow()

from snt_core.meta_graph import register_collection  # noqa: E402 (needs TensorFlow)

register_collection()
