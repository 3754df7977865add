"""Layers and ready-made networks of Sonnet. Use them through `import sonnet as snt`."""

from snt_core.versions import require_same_version

require_same_version("snt-nets")
