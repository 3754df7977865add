"""Ready-made networks. Use them through `snt.nets`."""

from snt_nets.nets.alexnet import AlexNet as AlexNet
from snt_nets.nets.alexnet import AlexNetFull as AlexNetFull
from snt_nets.nets.alexnet import AlexNetMini as AlexNetMini
from snt_nets.nets.convnet import ConvNet2D as ConvNet2D
from snt_nets.nets.convnet import ConvNet2DTranspose as ConvNet2DTranspose
from snt_nets.nets.dilation import Dilation as Dilation
from snt_nets.nets.identity_kernels import (
    identity_kernel_initializer as identity_kernel_initializer,
)
from snt_nets.nets.identity_kernels import (
    noisy_identity_kernel_initializer as noisy_identity_kernel_initializer,
)
from snt_nets.nets.mlp import MLP as MLP
from snt_nets.nets.transformer import CompressiveTransformer as CompressiveTransformer
from snt_nets.nets.transformer import TransformerTower as TransformerTower
from snt_nets.nets.transformer import TransformerXL as TransformerXL
from snt_nets.nets.transformer import future_mask as future_mask
from snt_nets.nets.vqvae import VectorQuantizer as VectorQuantizer
from snt_nets.nets.vqvae import VectorQuantizerEMA as VectorQuantizerEMA
