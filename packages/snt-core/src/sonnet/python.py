"""The module paths of Sonnet 1, for programs that reach into them.

`import sonnet.python.modules.util as util`, `from sonnet.python.modules import base` and
`snt.python.modules.util` all give a view of those modules of ours that hold today what the old one
held: the same objects, private names included. Nothing in this library goes through these paths.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

from sonnet._reasons import reason

# Old path -> our modules, searched in this order. The package of the first one must be there;
# another one that is missing costs only what it has.
_SOURCES: dict[str, tuple[str, ...]] = {
    "sonnet.python.custom_getters": ("snt_core.custom_getters",),
    "sonnet.python.custom_getters.bayes_by_backprop": (
        "snt_core.custom_getters.bayes_by_backprop",
    ),
    "sonnet.python.custom_getters.context": ("snt_core.custom_getters.context",),
    "sonnet.python.custom_getters.non_trainable": ("snt_core.custom_getters.training",),
    "sonnet.python.custom_getters.override_args": ("snt_core.custom_getters.overrides",),
    "sonnet.python.custom_getters.restore_initializer": ("snt_core.custom_getters.restore",),
    "sonnet.python.custom_getters.stop_gradient": ("snt_core.custom_getters.training",),
    "sonnet.python.modules": (),
    "sonnet.python.modules.attention": ("snt_nets.attention",),
    "sonnet.python.modules.base": (
        "snt_core.module",
        "snt_core.function_module",
        "snt_core.transposable",
        "snt_core.connections",
        "snt_core.scoping",
        "snt_core.errors",
    ),
    "sonnet.python.modules.base_errors": ("snt_core.errors",),
    "sonnet.python.modules.base_info": (
        "snt_core.connections",
        "snt_core.meta_graph",
    ),
    "sonnet.python.modules.basic": (
        "snt_nets.linear",
        "snt_nets.add_bias",
        "snt_nets.trainable_variable",
        "snt_nets.reshape",
        "snt_nets.batch_apply",
        "snt_nets.concat_linear",
        "snt_nets.slicing",
        "snt_nets.merge_dims",
        "snt_nets.select_input",
        "snt_nets.initializers",
    ),
    "sonnet.python.modules.basic_rnn": (
        "snt_rnn.vanilla",
        "snt_rnn.deep",
        "snt_rnn.model_rnn",
        "snt_rnn.bidirectional",
    ),
    "sonnet.python.modules.batch_norm": ("snt_nets.norm.batch_norm", "snt_nets.norm.initializers"),
    "sonnet.python.modules.batch_norm_v2": (
        "snt_nets.norm.batch_norm_v2",
        "snt_nets.norm.initializers",
    ),
    "sonnet.python.modules.block_matrix": ("snt_nets.block_matrix",),
    "sonnet.python.modules.clip_gradient": ("snt_nets.gradients",),
    "sonnet.python.modules.conv": (
        "snt_nets.conv.conv",
        "snt_nets.conv.causal",
        "snt_nets.conv.depthwise",
        "snt_nets.conv.in_plane",
        "snt_nets.conv.separable",
        "snt_nets.conv.transpose",
        "snt_nets.conv.padding",
        "snt_nets.conv.formats",
        "snt_nets.conv.old_names",
        "snt_nets.initializers",
    ),
    "sonnet.python.modules.embed": ("snt_nets.embed",),
    "sonnet.python.modules.experimental": ("snt_core.experimental",),
    "sonnet.python.modules.gated_rnn": (
        "snt_rnn.lstm",
        "snt_rnn.recurrent_dropout",
        "snt_rnn.zoneout",
        "snt_rnn.batch_norm_lstm",
        "snt_rnn.conv_lstm",
        "snt_rnn.gru",
        "snt_rnn.highway",
        "snt_rnn.lstm_block_cell",
    ),
    "sonnet.python.modules.layer_norm": ("snt_nets.norm.layer_norm", "snt_nets.norm.initializers"),
    "sonnet.python.modules.moving_average": ("snt_nets.moving_average",),
    "sonnet.python.modules.nets": ("snt_nets.nets",),
    "sonnet.python.modules.nets.alexnet": ("snt_nets.nets.alexnet",),
    "sonnet.python.modules.nets.convnet": ("snt_nets.nets.convnet",),
    "sonnet.python.modules.nets.dilation": (
        "snt_nets.nets.dilation",
        "snt_nets.nets.identity_kernels",
    ),
    "sonnet.python.modules.nets.mlp": ("snt_nets.nets.mlp",),
    "sonnet.python.modules.nets.vqvae": ("snt_nets.nets.vqvae",),
    "sonnet.python.modules.nets.transformer": ("snt_nets.nets.transformer",),
    "sonnet.python.modules.optimization_constraints": ("snt_nets.optimization_constraints",),
    "sonnet.python.modules.pondering_rnn": ("snt_rnn.act",),
    "sonnet.python.modules.relational_memory": ("snt_rnn.relational_memory",),
    "sonnet.python.modules.residual": ("snt_nets.residual", "snt_rnn.skip"),
    "sonnet.python.modules.rnn_core": (
        "snt_rnn.core",
        "snt_rnn.trainable_initial_state",
        "snt_rnn.cell_wrapper",
    ),
    "sonnet.python.modules.scale_gradient": ("snt_nets.gradients",),
    "sonnet.python.modules.sequential": ("snt_nets.sequential",),
    "sonnet.python.modules.spatial_transformer": (
        "snt_nets.spatial.grid_warper",
        "snt_nets.spatial.affine_grid_warper",
        "snt_nets.spatial.affine_warp_constraints",
    ),
    "sonnet.python.modules.spectral_normalization": ("snt_nets.spectral_norm",),
    "sonnet.python.modules.util": (
        "snt_core.checks",
        "snt_core.custom_getters.router",
        "snt_core.deprecation",
        "snt_core.introspection",
        "snt_core.naming",
        "snt_core.reporting",
        "snt_core.reuse",
        "snt_core.variables",
    ),
    "sonnet.python.ops": (),
    "sonnet.python.ops.initializers": ("snt_core.initializers",),
    "sonnet.python.ops.nest": ("snt_core.nest",),
}


class _OldModule(ModuleType):
    """A view, under an old path, of the modules of ours that hold its contents."""

    _sources: tuple[ModuleType, ...] = ()
    _missing: tuple[str, ...] = ()  # reasons why there are not more of them

    def __getattr__(self, name: str) -> object:
        if name == "__all__":
            return [name for name in dir(self) if not name.startswith("_")]
        if not name.startswith("__"):
            for source in self._sources:
                if hasattr(source, name):
                    return getattr(source, name)
        try:
            return _import_below(self.__name__, name)
        except AttributeError as error:
            error.args = (". ".join([*error.args, *self._missing]),)
            raise

    def __setattr__(self, name: str, value: object) -> None:
        # Importing `custom_getters.override_args`, the file, sets it on its parent. It must not
        # hide `custom_getters.override_args`, the function.
        hides = isinstance(value, _OldModule) and any(hasattr(s, name) for s in self._sources)
        if not hides:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *(name for source in self._sources for name in dir(source))})


class _OldModuleFinder:
    """Finds and loads the old paths; stands last, and Python's own finders know none of them."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        if fullname not in _SOURCES:
            return None
        # Each is a package with an empty path, so that nothing below it is looked for on disk.
        return ModuleSpec(fullname, cls, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name)

    @staticmethod
    def exec_module(module: _OldModule) -> None:
        names = _SOURCES[module.__name__]
        module.__doc__ = f"Sonnet 1's `{module.__name__}`: a view of {', '.join(names) or 'these'}."
        sources, missing = [], []
        for name in names:
            try:
                sources.append(_import_source(name, module.__name__))
            except ImportError as error:
                if _package(name) == _package(names[0]):
                    raise
                missing.append(f"Some of it is not here: {error}")
        module._sources, module._missing = tuple(sources), tuple(missing)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _import_source(name: str, wanted: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:
        raise ImportError(reason(wanted, name, error), name=wanted) from error


def _import_below(parent: str, name: str) -> ModuleType:
    if f"{parent}.{name}" in _SOURCES:
        return import_module(f"{parent}.{name}")
    raise AttributeError(f"module {parent!r} has no attribute {name!r}", name=name)


def __getattr__(name: str) -> ModuleType:
    return _import_below(__name__, name)


__path__: list[str] = []  # makes this a package, and what lies below it the finder's
sys.meta_path.append(_OldModuleFinder)
