"""Ready-made networks. Use them through `snt.nets`."""

from snt_nets.nets.mlp import MLP as MLP
