"""The normalisers of a network: which they are, and how they are made and called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from snt_core.deprecation import deprecation_warning
from snt_core.introspection import parse_string_to_constructor
from snt_nets.norm.batch_norm import BatchNorm
from snt_nets.norm.batch_norm_v2 import BatchNormV2


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What normalises the layers of a network.

    Attributes:
        ctor: Constructor of the normalisers, or None if there are none.
        kwargs: Its arguments, without the name.
        module: Name of the network.
    """

    ctor: Callable[..., Any] | None
    kwargs: Mapping[str, Any]
    module: str

    def check_build_kwargs(self, build_kwargs: Mapping[str, Any]) -> None:
        """Checks that a connection has what batch normalisation cannot do without.

        Args:
            build_kwargs: The keyword arguments of the connection.

        Raises:
            ValueError: If `is_training` is missing.
        """
        if self.ctor in (BatchNorm, BatchNormV2) and "is_training" not in build_kwargs:
            raise ValueError(
                f"{self.module}: is_training flag must be explicitly specified for batch "
                "normalization: call the network with is_training=True or False."
            )

    def make(self, index: int) -> Any:
        """Returns a new normaliser.

        Args:
            index: Index of the layer that it is for.

        Raises:
            TypeError: If there is a name among the arguments, or one that is not known.
        """
        assert self.ctor is not None
        if "name" in self.kwargs:
            raise TypeError(
                f"{self.module}: normalization_kwargs must not have a name, got "
                f"{self.kwargs['name']!r}. The normalisers are always called batch_norm_0, "
                "batch_norm_1 and so on."
            )
        return self.ctor(name=f"batch_norm_{index}", **self.kwargs)


def chosen_normalization(
    module: str,
    ctor: Callable[..., Any] | str | None,
    kwargs: Mapping[str, Any] | None,
    use_batch_norm: bool | None,
    batch_norm_config: Mapping[str, Any] | None,
) -> Normalization:
    """Returns the normalisation that the arguments of a network ask for.

    Args:
        module: Name of the network.
        ctor: Constructor, or its name in the `sonnet` namespace, or None for none.
        kwargs: Its arguments, or None for none.
        use_batch_norm: Deprecated: True stands for `snt.BatchNorm`.
        batch_norm_config: Deprecated: the arguments that go with it.

    Raises:
        ValueError: If both the old and the new arguments are given, or `ctor` is no constructor or
            cannot be found.
    """
    if use_batch_norm is not None:
        deprecation_warning(
            "use_batch_norm and batch_norm_config are deprecated: use normalization_ctor and "
            "normalization_kwargs, for instance normalization_ctor=snt.BatchNorm."
        )
    if use_batch_norm:
        if ctor is not None or kwargs is not None:
            raise ValueError(
                f"{module}: if use_batch_norm is specified, normalization_ctor and "
                f"normalization_kwargs must not be, got {ctor!r} and {kwargs!r}."
            )
        return Normalization(BatchNorm, batch_norm_config or {}, module)
    if isinstance(ctor, str):
        ctor = parse_string_to_constructor(ctor)
    if ctor is not None and not callable(ctor):
        raise ValueError(
            f"{module}: normalization_ctor must be a callable or the name of one, got {ctor!r}."
        )
    return Normalization(ctor, kwargs or {}, module)
