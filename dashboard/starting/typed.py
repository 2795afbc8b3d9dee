"""An experiment that somebody typed into the page: what must not be in it, and what is wrong with it.

What comes from the page is not trusted as a file of the workspace is. Before anything is opened or imported
for it: it is of limited size, also when its anchors are expanded; its paths stay within the workspace; and
code that it names is named by an experiment file of the workspace already.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import streamlit as st
import yaml

from thalweg.dashboard.starting.typed_paths import path_refusal, workspace
from thalweg.flows import check_view, worker
from thalweg.flows.check import Check, check
from thalweg.flows.space import cost_text
from thalweg.storage.errors import InputError, UnavailableError

MOST_BYTES = 256 * 1024
MOST_NODES = 20_000  # keys and values, those that anchors repeat counted each time
Where = Literal["local", "ray", "schedule"]
_DOTTED = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # package.module:name
_LIKE_CODE = re.compile(r"[^:/%{\n]+:[^:/\n]+")  # all that could be taken for it
_CODE_KEYS = ("kind", "process")  # what is imported where a `:` is in it
_SOURCE = ("data", "source")
_BINARY = "tag:yaml.org,2002:binary"
_LINE = re.compile(r"^(\d+): ")


@dataclass(frozen=True)
class Typed:
    """What was found out about a typed experiment.

    Attributes
    ----------
    problems : (line, what is wrong); line 0 where none is at fault.
    plan : what it would run, as :func:`thalweg.flows.check_view.plan` gives it.
    kinds : kind of each model; empty where it could not be read.
    epochs : most epochs that each model is trained.
    search : what its search costs, in words; empty without one.
    unreachable : why it could not be checked against its store; empty where it was.
    warnings : what this machine lacks that it asks for, one line each.
    """

    problems: list[tuple[int, str]] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    search: str = ""
    unreachable: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The experiment's name; empty where it could not be read."""
        return str(self.plan.get("experiment", ""))


def check_typed(text: str, where: Where = "local") -> Typed:
    """Check a typed experiment as `thalweg check` does, after what is asked of the page's alone.

    Parameters
    ----------
    where : it is to run. A store that cannot be reached now may be there for a cluster, or later.
    """
    if not text.strip():
        return Typed([(0, "is empty: pick an experiment to begin with, or paste one")])
    problems = refusals(text)
    if problems:
        return Typed(problems)
    return _checked(text, where, _moment())


def refusals(text: str) -> list[tuple[int, str]]:
    """Tell why a text is not even read as an experiment; nothing of it is opened or imported."""
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_BYTES:
        return [(0, f"is too large: {size / 1024:.0f} kB, and {MOST_BYTES // 1024} kB are taken")]
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None and _size(tree) > MOST_NODES:
            return [(0, f"has more than {MOST_NODES:,} keys and values")]
        known = known_code()
        found = [] if tree is None else list(_strings(tree))
        named = any("{variable}" in node.value for _, node in found)
    except RecursionError:
        return [(0, "is nested too deeply; an anchor (&) may hold itself (*)")]
    except yaml.YAMLError:
        return []  # the check tells of it, with the line
    problems = []
    for keys, node in found:
        why = _refusal(node, keys, known) or (_name_refusal(node.value, keys) if named else "")
        if why:
            place = ".".join(keys)
            problems.append((node.start_mark.line + 1, f"{place}: {why}" if place else why))
    return problems


def known_code() -> set[str]:
    """Code outside of Thalweg that experiment files of the workspace name, as `package.module:name`."""
    return {
        name
        for file in files()
        for name in _DOTTED.findall(file.read_text(encoding="utf-8", errors="replace"))
    }


def files() -> list[Path]:
    """The experiment files of the workspace, of its top and of its folder `examples`."""
    top = workspace()
    found = [
        path
        for folder in (top, top / "examples", top / "experiments")
        for pattern in ("*.yaml", "*.yml")
        for path in sorted(folder.glob(pattern))
        if path.is_file() and path.stat().st_size <= MOST_BYTES and path.resolve().is_relative_to(top)
    ]
    return [path for path in found if _is_experiment(path)]


def _is_experiment(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return all(re.search(rf"^{key}:", text, re.M) for key in ("name", "data", "models", "splits"))


def _refusal(node: yaml.ScalarNode, keys: tuple[str, ...], known: set[str]) -> str:
    """Why a text must not stand in a submitted experiment; nothing where it may."""
    value, key = node.value, keys[-1] if keys else ""
    if node.tag == _BINARY:
        return f"{value!r}: binary values are not taken: write it as text"
    if (_LIKE_CODE.fullmatch(value) or (key in _CODE_KEYS and ":" in value)) and value not in known:
        return f"{value!r}: code of your own must be named by an experiment file of the workspace already"
    if "://" in value and not value.startswith("s3://"):
        return f"{value!r}: only folders of the workspace and s3://bucket/prefix are taken"
    if "://" in value:
        return ""
    return path_refusal(value, whole=value != "" and _plain(keys)[:2] == _SOURCE and key != "kind")


def _name_refusal(value: str, keys: tuple[str, ...]) -> str:
    """Why a column must not stand in place of `{variable}` in a path; nothing where it may."""
    from thalweg.storage.sources.csv_layouts import NAME

    own = _plain(keys)
    is_column = own[:3] == (*_SOURCE, "variables") and (len(own) == 4 or own[-1] == "column")
    return (
        f"{value!r}: cannot name a file, as {{variable}} does" if is_column and not NAME.match(value) else ""
    )


def _plain(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys above a value without those that merge another mapping into theirs."""
    return tuple(key for key in keys if key != "<<")


def _strings(
    node: yaml.Node, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """Every key and value, with the keys above it."""
    if isinstance(node, yaml.ScalarNode):
        yield keys, node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _strings(key, keys)
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            yield from _strings(value, (*keys, name))
    elif isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            # the item's own key is the list's: `process: [a, b]` names code twice
            yield from _strings(item, keys if isinstance(item, yaml.ScalarNode) else (*keys, str(place)))


def _size(node: yaml.Node, known: dict[int, int] | None = None) -> int:
    """How many keys and values a tree holds with its anchors expanded, counted without expanding them."""
    known = {} if known is None else known
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_NODES + 1  # one that holds itself
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_size(key, known) + _size(value, known) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_size(item, known) for item in node.value)
    known[id(node)] = size
    return size


def _moment() -> int:
    """A number that changes when a store in the workspace may have: a check is kept for as long."""
    return int(time.time() / 20)


@st.cache_data(max_entries=50, show_spinner=False)
def _checked(text: str, where: Where, moment: int) -> Typed:
    worker.enter(str(workspace()))
    with tempfile.TemporaryDirectory(prefix="thalweg-typed-") as folder:
        path = Path(folder) / "experiment.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            found = _found(path, where)
        except InputError as error:
            return Typed([_placed(line, path) for line in str(error).splitlines()])
        except UnavailableError as error:
            return Typed(unreachable=f"not checked against its store: {' '.join(str(error).split())}")
    told = [_placed(line, path)[1] for line in found.warnings]
    return Typed(
        [_placed(line, path) for line in found.problems],
        check_view.plan(found),
        *_costs(found),
        # of an experiment that runs elsewhere nothing else is warned of
        unreachable="; ".join(told) if found.elsewhere else "",
        warnings=[] if found.elsewhere else told,
    )


def _found(path: Path, where: Where) -> Check:
    """Check a file; of a store that is away, and is read elsewhere or later, the check only warns."""
    try:
        return check(path, elsewhere=where == "ray")
    except UnavailableError:
        if where != "schedule":
            raise
        return check(path, elsewhere=True)


def _costs(found: Check) -> tuple[dict[str, str], dict[str, int], str]:
    experiment = found.experiment
    if experiment is None:
        return {}, {}, ""
    kinds = {name: str(model.kind) for name, model in experiment.models.items()}
    epochs = {name: experiment.training_for(name).epochs for name in experiment.models}
    return kinds, epochs, cost_text(experiment) if experiment.search is not None and found.folds else ""


def _placed(problem: str, path: Path) -> tuple[int, str]:
    """Take the file's name off a problem, and its line out of it."""
    rest = problem.removeprefix(f"{path}:")
    line = _LINE.match(rest)
    if line:
        return int(line[1]), rest[line.end() :]
    return 0, rest.strip().replace(str(path), "the experiment")
