"""Makes the pages of the API: a hook of mkdocs, which calls the functions `on_...`.

Which names are public stands in one table, `sonnet/__init__.pyi`; the pages are made from it, so
that none can be missing. The build fails on a public name, method or property without a docstring,
and on a mention such as `snt.Linear` of a name that is not there.
"""

from __future__ import annotations

import ast
import dataclasses
import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = [str(folder) for folder in sorted(ROOT.glob("packages/*/src"))]
STUB = ROOT / "packages/snt-core/src/sonnet/__init__.pyi"
EXTENSION = str(ROOT / "tools/griffe_sonnet.py")

# Each page: its file, its title, its first sentence, and which modules' names it shows. A name is
# shown on the page with the longest module that fits, so that a new module needs no line here.
PAGES = (
    ("modules", "Modules", "What every module is, and how variables are shared.", ["snt_core"]),
    ("errors", "Errors", "All errors of the library's own.", ["snt_core.errors"]),
    (
        "variables",
        "Variables and checkpoints",
        "Finding, reporting, saving and restoring variables.",
        [
            "snt_core.variables",
            "snt_core.reporting",
            "snt_core.tabulate",
            "snt_core.initializers",
            "snt_core.restore_from_checkpoint",
            "snt_core.export",
        ],
    ),
    (
        "helpers",
        "Regularisers and checks",
        "Penalties on weights, and functions for those who write modules.",
        [
            "snt_core.checks",
            "snt_core.deprecation",
            "snt_core.introspection",
            "snt_core.regularizers",
        ],
    ),
    (
        "custom_getters",
        "Custom getters",
        "Functions between a request for a variable and the variable.",
        ["snt_core.custom_getters"],
    ),
    ("nest", "Nested structures", "Deprecated: use `tf.nest`.", ["snt_core.nest"]),
    ("layers", "Layers", "Linear maps, shapes, embeddings and the rest.", ["snt_nets"]),
    ("conv", "Convolutions", "Convolutions of one to three axes.", ["snt_nets.conv"]),
    (
        "norm",
        "Normalisation",
        "Normalisation of activations and of weights.",
        ["snt_nets.norm", "snt_nets.spectral_norm", "snt_nets.weight_norm"],
    ),
    (
        "attention",
        "Attention",
        "Reading from a memory by similarity.",
        ["snt_nets.attention", "snt_nets.multi_head_attention", "snt_nets.dot_product_attention"],
    ),
    ("spatial", "Spatial transformers", "Grids of points.", ["snt_nets.spatial"]),
    ("nets", "Networks", "Ready-made networks.", ["snt_nets.nets"]),
    (
        "transformer",
        "Transformers",
        "Towers of attention, with and without memory.",
        ["snt_nets.nets.transformer"],
    ),
    ("cores", "Recurrent cores", "Modules with a state.", ["snt_rnn", "snt_core.recurrent"]),
    (
        "sequences",
        "Sequences",
        "Cores applied to whole sequences.",
        ["snt_rnn.unroll", "snt_rnn.bidirectional", "snt_rnn.model_rnn"],
    ),
    ("ops", "Compiled ops", "Compiled operations.", ["snt_ops"]),
)

# What subclasses write or call, though it begins with an underscore.
HOOKS = ("_build", "_enter_variable_scope")

# Public names that are not reached through `snt`.
BESIDE_SNT = {"snt_ops.build_info": ["build_info", "BuildInfo"]}
BESIDE_SNT |= {"snt_ops.numpy": ["resample", "resample_grad"]}

OPENING = '<div class="names" markdown>'

log = logging.getLogger("mkdocs.hooks.api_pages")


@dataclasses.dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        shown: How users write it, such as `snt.Linear`.
        path: Where it is defined, such as `snt_nets.linear.Linear`.
        package: The distribution that it comes with.
        thing: What it is.
    """

    shown: str
    path: str
    package: str
    thing: Any

    @property
    def page(self) -> str:
        """The page that shows it."""
        fitting = [
            (len(module), file)
            for file, _, _, modules in PAGES
            for module in modules
            if f"{self.path}.".startswith(f"{module}.")
        ]
        return max(fitting)[1]

    @property
    def summary(self) -> str:
        """The first line of its docstring, if it has one."""
        docstring = self.thing.docstring
        return docstring.value.partition("\n")[0] if docstring else ""


class Api:
    """All public names.

    Args:
        stub: The table of names.
    """

    def __init__(self, stub: pathlib.Path = STUB) -> None:
        self._loader = griffe.GriffeLoader(
            search_paths=SOURCES, extensions=griffe.load_extensions(EXTENSION)
        )
        for package in ("snt_core", "snt_nets", "snt_rnn", "snt_ops"):
            self._loader.load(package)
        self._loader.resolve_aliases(implicit=True, external=False)
        self.namespaces: list[Name] = []
        self.names = sorted(self._names(stub), key=lambda name: name.shown.lower())
        self.by_shown = {name.shown: name for name in (*self.names, *self.namespaces)}

    def _names(self, stub: pathlib.Path) -> Iterator[Name]:
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                for alias in node.names:
                    yield from self._inside(f"snt.{alias.name}", f"{node.module}.{alias.name}")
        for module, members in BESIDE_SNT.items():
            for member in members:
                shown = f"{module.removesuffix('.build_info')}.{member}"
                yield from self._inside(shown, f"{module}.{member}")

    def _inside(self, shown: str, path: str) -> Iterator[Name]:
        """Gives the name itself; for a namespace, such as `snt.nets`, all names in it."""
        thing = self._find(path)
        name = Name(shown, thing.path, path.partition(".")[0].replace("_", "-"), thing)
        if not thing.is_module:
            yield name
            return
        self.namespaces.append(name)
        exported = [str(name) for name in thing.exports or ()] or [
            member
            for member, value in thing.members.items()
            if (value.is_alias or not value.is_module) and not member.startswith("_")
            if thing.is_init_module or not value.is_alias
        ]
        if path == "snt_nets.nets":
            exported.append("transformer")
        for member in exported:
            yield from self._inside(f"{shown}.{member}", f"{thing.path}.{member}")

    def _find(self, path: str) -> Any:
        thing = self._loader.modules_collection[path]
        return thing.final_target if thing.is_alias else thing

    def members(self, name: Name) -> tuple[list[str], list[str]]:
        """Returns the members of a class to show: its own, and those it inherits.

        What every module or core has stands only once, with the class that defines it.
        """
        if not isinstance(name.thing, griffe.Class):
            return [], []
        own = [
            member
            for member, value in name.thing.members.items()
            if (_is_public(member) or member in HOOKS) and not _is_bare(value)
        ]
        inherited = [
            member
            for member, value in name.thing.inherited_members.items()
            if _is_public(member)
            and not _is_bare(value)
            and value.final_target.path.rpartition(".")[0]
            not in ("snt_core.module.AbstractModule", "snt_core.recurrent.RNNCore")
        ]
        return own, inherited

    def anchor(self, shown: str) -> str | None:
        """Returns where the pages describe a public name, or a member of a public class."""
        name = self.by_shown.get(shown)
        if name is not None:
            return str(name.thing.module.path if name.thing.is_attribute else name.path)
        owner, _, member = shown.rpartition(".")
        name = self.by_shown.get(owner)
        if name is not None and name.thing.is_class and member in name.thing.all_members:
            return f"{name.path}.{member}"
        return None

    def is_namespace(self, shown: str) -> bool:
        """Tells whether there are names in it, described here or, for old programs, not."""
        old = ("snt.python", "snt.__version__")
        return shown.startswith(old) or any(name.startswith(f"{shown}.") for name in self.by_shown)

    def undocumented(self) -> Iterator[str]:
        """Gives what has no docstring."""
        for name in (*self.names, *self.namespaces):
            if name.thing.is_attribute:
                if not (name.thing.has_docstring or name.thing.module.has_docstring):
                    yield name.shown
                continue
            if not name.thing.has_docstring:
                yield name.shown
            own, inherited = self.members(name)
            for member in (*own, *inherited):
                value = name.thing.all_members[member]
                if (value.is_function or "property" in value.labels) and not value.has_docstring:
                    yield f"{name.shown}.{member}"


def _is_public(member: str) -> bool:
    return not member.startswith("_") or member == "__call__"


def _is_bare(member: griffe.Object | griffe.Alias) -> bool:
    """Tells whether a member is an attribute, no property, that nobody has described."""
    return member.is_attribute and "property" not in member.labels and not member.has_docstring


def _page(api: Api, file: str, title: str, sentence: str) -> str:
    names = [name for name in api.names if name.page == file]
    lines = [f"# {title}", "", sentence, ""]
    constants = [name for name in names if name.thing.is_attribute]
    others = [name for name in names if not name.thing.is_attribute]
    lines += [OPENING, "", "| Name | What it does |", "|---|---|"]
    lines += [f"| `{name.shown}` | {name.summary} |" for name in others]
    lines += ["", "</div>", ""]
    for name in api.namespaces:
        if name.page == file:
            lines += [f"## {name.shown} {{: #{name.path} }}", "", *_docstring(name.path)]
    for name in others:
        if any(other.path == name.path and len(other.shown) < len(name.shown) for other in others):
            continue  # it has two names, as `snt.nets.TransformerXL`, and is described once
        own, inherited = api.members(name)
        lines += [f"::: {name.path}", "    options:", f"      heading: {name.shown}"]
        lines += [f"      toc_label: {name.shown.rpartition('.')[2]}"]
        lines += [f"      members: {own!r}", f"      inherited_members: {inherited!r}", ""]
    for module in sorted({name.thing.module.path for name in constants}):
        # They are described together, where they are defined.
        here = [name for name in constants if name.thing.module.path == module]
        lines += [f"## Constants {{: #{module} }}", "", "| Name | Value |", "|---|---|"]
        lines += [f"| `{name.shown}` | `{name.thing.value}` |" for name in here]
        lines += ["", *_docstring(module)]
    return "\n".join(lines)


def _docstring(module: str) -> list[str]:
    """Returns what shows the docstring of a module, and nothing else of it."""
    options = ("members: []", "show_root_heading: false", "show_root_toc_entry: false")
    return [f"::: {module}", "    options:", *(f"      {option}" for option in options), ""]


def _index(api: Api) -> str:
    lines = ["# All names", "", f"{len(api.names)} public names, and where each is described.", ""]
    lines += [OPENING, "", "| Name | What it does | Package |", "|---|---|---|"]
    for name in api.names:
        lines.append(f"| `{name.shown}` | {name.summary} | {name.package} |")
    lines += ["", "</div>"]
    return "\n".join(lines)


_state: dict[str, Any] = {}


def on_config(config: Any) -> None:
    """Reads the table, and adds the pages to the navigation."""
    _state["api"] = Api()
    api = _state["api"]
    for shown in api.undocumented():
        log.warning("%s is public and has no docstring.", shown)
    used = {name.page for name in api.names}
    _state["pages"] = [page for page in PAGES if page[0] in used]
    pages = [{title: f"api/{file}.md"} for file, title, _, _ in _state["pages"]]
    config["nav"].append({"API": [{"All names": "api/index.md"}, *pages]})


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    api = _state["api"]
    contents = {"index": _index(api)}
    contents |= {file: _page(api, file, title, say) for file, title, say, _ in _state["pages"]}
    for file, content in contents.items():
        files.append(File.generated(config, f"api/{file}.md", content=content))
    return files


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Makes a link of each mention of a public name."""
    api = _state["api"]
    # Where a return value has no annotation, the dash behind it would begin the line.
    html = re.sub(r"(<li[^>]*>)\s*\N{EN DASH}\s", r"\1", html)

    def link(match: re.Match[str]) -> str:
        mention, shown = match[0], match[1]
        target = api.anchor(shown)
        if target is not None:
            return f'<autoref identifier="{target}" optional>{mention}</autoref>'
        if not api.is_namespace(shown):
            log.warning("%s mentions %s, which is not there.", page.file.src_uri, shown)
        return mention

    return re.sub(r"<code>(snt(?:_ops)?\.[A-Za-z_.0-9]*[A-Za-z_0-9])</code>", link, html)
