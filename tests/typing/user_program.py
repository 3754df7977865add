"""A user's program, for the type checker alone: it sees real types through `sonnet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sonnet as snt

if TYPE_CHECKING:
    from typing_extensions import assert_type

    import snt_core.module
    import snt_nets.linear
    import snt_nets.nets.mlp


class Doubled(snt.AbstractModule):
    def __init__(self, name: str = "doubled") -> None:
        super().__init__(name=name)

    def _build(self, inputs: float) -> float:
        return 2.0 * inputs


def program() -> None:
    assert_type(snt.__version__, str)
    assert_type(snt.SONNET_COLLECTION_NAME, str)
    assert_type(snt.AbstractModule, type[snt_core.module.AbstractModule])
    assert_type(snt.Linear(10), snt_nets.linear.Linear)
    assert_type(snt.nets.MLP([10]), snt_nets.nets.mlp.MLP)
    assert_type(Doubled().scope_name, str)
    snt.Linear()  # type: ignore[call-arg]  # the size is missing
    snt.Linaer(10)  # type: ignore[attr-defined]  # no such name
