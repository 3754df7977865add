"""Recurrent cores of Sonnet. Use them through `import sonnet as snt`; there are none so far."""

from snt_core.versions import require_same_version

require_same_version("snt-rnn")
