"""Transformers: towers of attention, with and without memory. Use them as `snt.nets.transformer`.

Shapes name the axes of tensors: a memory holds steps of time like a sequence, the oldest first.
"""

from snt_nets.nets.transformer.attention import AttentionState as AttentionState
from snt_nets.nets.transformer.attention import MultiheadAttention as MultiheadAttention
from snt_nets.nets.transformer.blocks import ResidualDropoutWrapper as ResidualDropoutWrapper
from snt_nets.nets.transformer.blocks import default_mlp as default_mlp
from snt_nets.nets.transformer.compressive import CompressiveTransformer as CompressiveTransformer
from snt_nets.nets.transformer.compressors import ConvCompressor as ConvCompressor
from snt_nets.nets.transformer.compressors import PoolCompressor as PoolCompressor
from snt_nets.nets.transformer.masks import create_mask as create_mask
from snt_nets.nets.transformer.masks import future_mask as future_mask
from snt_nets.nets.transformer.memory import CompressedMemoryState as CompressedMemoryState
from snt_nets.nets.transformer.positions import get_position_encodings as get_position_encodings
from snt_nets.nets.transformer.positions import rel_shift as rel_shift
from snt_nets.nets.transformer.tower import TransformerTower as TransformerTower
from snt_nets.nets.transformer.xl import TransformerXL as TransformerXL
