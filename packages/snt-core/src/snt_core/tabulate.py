"""`tabulate`: a module, the modules in it, and their variables, as a table."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from snt_core.last_call import Called
from snt_core.module import AbstractModule
from snt_core.naming import is_inside, relative_name, variable_name

HEADINGS = ("Name", "Class or type", "Shape", "Trained", "Parameters", "Bytes")


class Row(NamedTuple):
    """A module or a variable in a table.

    Attributes:
        depth: How many modules it is in.
        name: Name of the scope or the variable, as seen from the module around it.
        kind: Class of the module, or type of the variable.
        shape: Shape of the variable; of the module, the shapes of inputs and outputs of its last
            call.
        trained: Whether a variable is trainable; None for a module.
        parameters: Number of elements, of a module those of all its variables.
        size: Bytes, likewise.
    """

    depth: int
    name: str
    kind: str
    shape: str
    trained: bool | None
    parameters: int
    size: int

    def cells(self) -> tuple[str, ...]:
        """Returns what is written under each heading."""
        trained = {None: "", True: "yes", False: "no"}[self.trained]
        name = "  " * self.depth + self.name
        return (name, self.kind, self.shape, trained, f"{self.parameters:,}", f"{self.size:,}")


class Table:
    """The table of a module: text where printed, HTML in a notebook, and in colours by rich."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __str__(self) -> str:
        cells = [HEADINGS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column >= len(HEADINGS) - 2 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        )

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.table import Table as RichTable  # which is there, since it asks

        table = RichTable(box=None, pad_edge=False)
        for column, heading in enumerate(HEADINGS):
            right = column >= len(HEADINGS) - 2
            table.add_column(heading, justify="right" if right else "left", no_wrap=column == 0)
        for row in self.rows:
            table.add_row(*row.cells(), style="bold" if row.trained is None else None)
        return table

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str, depth: int = 0) -> str:
            texts = [html.escape(cell.strip()) for cell in cells]
            first, *rest = (f"<{tag}>{text}</{tag}>" for text in texts)
            indent = f' style="padding-left:{0.5 + 1.5 * depth}em;text-align:left"'
            return f"<tr>{first.replace('>', indent + '>', 1)}{''.join(rest)}</tr>"

        rows = [
            line(row.cells(), "th" if row.trained is None else "td", row.depth) for row in self.rows
        ]
        return f"<table>{line(HEADINGS, 'th')}{''.join(rows)}</table>"


def tabulate(module: AbstractModule) -> Table:
    """Returns a table of a module, the modules in it, and their variables.

    Each module has a line with its class, the shapes of the inputs and outputs of its last call,
    and the number and the bytes of its parameters, those of the modules in it included. Below it
    are the modules that it called or holds, and its variables.

    Args:
        module: The module, connected or not.

    Returns:
        A table with the attribute `rows`. It prints as text; a notebook shows it as HTML, and a
        `rich.console.Console` in colours.

    Raises:
        TypeError: If `module` is not a module.
        NotInitializedError: If its constructor did not call that of `AbstractModule`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> layer = snt.Linear(output_size=3, name="in_a_table")
        >>> outputs = layer(tf.ones([8, 5]))
        >>> print(snt.tabulate(layer))
        Name        Class or type  Shape             Trained  Parameters  Bytes
        in_a_table  Linear         [8, 5] -> [8, 3]                   18     72
          w         float32        [5, 3]            yes              15     60
          b         float32        [3]               yes               3     12
    """
    if not isinstance(module, AbstractModule):
        raise TypeError(f"tabulate takes a module, got {module!r} of type {type(module).__name__}.")
    called = _called(module)
    tree = _Node(module.scope_name, called)
    known = {tree.scope_name: tree}
    _add_calls(tree, known)
    for submodule in module.submodules:
        if isinstance(submodule, AbstractModule) and submodule.scope_name not in known:
            parent = _innermost(submodule.scope_name, known) or tree
            _add_calls(parent.add(submodule.scope_name, _called(submodule), known), known)
    for node in list(known.values()):
        for variable in node.owned():
            (_innermost(variable_name(variable), known) or node).variables[id(variable)] = variable
    return Table(list(tree.rows(None, 0)))


class _Node:
    """A module in the tree of modules, and the variables that no module in it has."""

    def __init__(self, scope_name: str, called: Called) -> None:
        self.scope_name = scope_name
        self.children: list[_Node] = []
        self.variables: dict[int, Any] = {}
        self._called = called

    def add(self, scope_name: str, called: Called, known: dict[str, _Node]) -> _Node:
        node = known[scope_name] = _Node(scope_name, called)
        self.children.append(node)
        return node

    def calls(self) -> Mapping[str, Called]:
        return self._called.state.called

    def owned(self) -> list[Any]:
        return [owned.variable for owned in self._called.state.owned.values()]

    def rows(self, parent: str | None, depth: int) -> Iterator[Row]:
        variables = self.all_variables().values()
        last_call = self._called.state.last_call
        yield Row(
            depth,
            _name_inside(self.scope_name, parent),
            self._called.construction.constructed.__name__,
            "" if last_call is None else f"{_text(last_call.inputs)} -> {_text(last_call.outputs)}",
            None,
            sum(map(_number_of_elements, variables)),
            sum(map(_bytes_of, variables)),
        )
        for variable in self.variables.values():
            yield Row(
                depth + 1,
                _name_inside(variable_name(variable), self.scope_name),
                variable.dtype.base_dtype.name,
                _text(variable.shape),
                bool(variable.trainable),
                _number_of_elements(variable),
                _bytes_of(variable),
            )
        for child in self.children:
            yield from child.rows(self.scope_name, depth + 1)

    def all_variables(self) -> dict[int, Any]:
        variables = dict(self.variables)
        for child in self.children:
            variables.update(child.all_variables())
        return variables


def _called(module: AbstractModule) -> Called:
    module._check_init_called()
    return Called(module._snt_construction, module._snt_state)


def _add_calls(node: _Node, known: dict[str, _Node]) -> None:
    for scope_name, called in node.calls().items():
        if scope_name not in known:
            _add_calls(node.add(scope_name, called, known), known)


def _innermost(name: str, known: Mapping[str, _Node]) -> _Node | None:
    """Returns the node of the innermost scope that a name is in."""
    inside = [node for scope_name, node in known.items() if is_inside(name, scope_name)]
    return max(inside, key=lambda node: len(node.scope_name), default=None)


def _name_inside(name: str, scope_name: str | None) -> str:
    if scope_name and is_inside(name, scope_name) and name != scope_name:
        return relative_name(name, scope_name)
    return name


def _number_of_elements(variable: Any) -> int:
    return variable.shape.num_elements() or 0


def _bytes_of(variable: Any) -> int:
    return _number_of_elements(variable) * variable.dtype.base_dtype.size


def _text(shapes: Any) -> str:
    """Returns shapes as text: `[8, ?]`, and in brackets where there are several."""
    if isinstance(shapes, tf.TensorShape):
        if shapes.rank is None:
            return "?"
        return f"[{', '.join('?' if size is None else str(size) for size in shapes.as_list())}]"
    if isinstance(shapes, Mapping):
        shapes = tuple(shapes.values())
    if not isinstance(shapes, tuple):
        return "-" if shapes is None else str(list(shapes))
    texts = [_text(shape) for shape in shapes if shape is not None]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
