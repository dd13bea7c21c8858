"""The structure that ARCHITECTURE.md and CONTRIBUTING.md describe, read from the source."""

import ast
from collections.abc import Iterator

import pytest

from chatsvc.app import ROUTES
from tests.support.process import ROOT

MAY_SLEEP = {
    "postgres.cluster": "its own thread",
    "postgres.locks": "blocks on purpose, before the loop or beside it",
    "serve": "waits for the database before the loop starts",
}
MAY_CACHE = {
    "web.client_address.is_within": "pure",
    "web.client_address._warn_once": "a line in the log per proxy",
    "web.headers._normal": "pure",
    "web.headers._spelled": "pure",
    "handlers.body._decoder": "pure",
    "handlers.endpoint._http_date": "pure",
    "handlers.body._required_fields": "pure",
    "security.passwords._dummy_hash": "a hash that nobody's password has",
}
VERBS = {"get", "head", "post", "put", "patch", "delete", "options"}
VERB_STATEMENTS = 10


def modules() -> dict[str, ast.Module]:
    """The package's modules by dotted name without `chatsvc.`, and `server`."""
    found = {"server": ROOT / "server.py"}
    for path in sorted((ROOT / "chatsvc").rglob("*.py")):
        parts = path.relative_to(ROOT / "chatsvc").with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").removesuffix(".")] = path
    return {name: ast.parse(path.read_text()) for name, path in found.items()}


MODULES = modules()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


@pytest.mark.parametrize("what", ["PeriodicCallback", "compress_response"])
def test_it_is_not_used(what: str) -> None:
    """A wall clock that is stepped back stops the first; the second compresses event streams too."""
    for name, tree in MODULES.items():
        used = {
            getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None)))
            for node in ast.walk(tree)
        }
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert what not in used | imported, name


def test_the_loop_does_not_sleep() -> None:
    sleeping = {
        name
        for name, tree in MODULES.items()
        if any(call == "time.sleep" for call, _ in calls(tree))
    }
    assert sleeping <= set(MAY_SLEEP)


def test_there_is_no_state_in_modules() -> None:
    """Containers at module level are constants: named as such, never changed. Caches hold what is pure."""
    for name, tree in MODULES.items():
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name
        containers = {target for node in tree.body for target in container_names(node)}
        assert all(target.strip("_").isupper() or target == "__all__" for target in containers), (
            name,
            containers,
        )
        for node in ast.walk(tree):
            assert changed(node) not in containers, f"{name} changes {changed(node)}"
        cached = {
            f"{name}.{one.name}"
            for one in functions(tree)
            if any("cache" in ast.unparse(d) for d in one.decorator_list)
        }
        assert cached <= set(MAY_CACHE), cached - set(MAY_CACHE)


def container_names(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at module level binds to a list, dict or set."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return
    displays = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    makers = (
        "list",
        "dict",
        "set",
        "deque",
        "defaultdict",
        "OrderedDict",
        "Counter",
        "WeakSet",
        "WeakKeyDictionary",
    )
    made = (
        isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).split("[")[0].split(".")[-1] in makers
    )
    if isinstance(node.value, displays) or made:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield ast.unparse(target)


def changed(node: ast.AST) -> str | None:
    """The name whose contents a statement changes."""
    mutators = {
        "append",
        "extend",
        "insert",
        "add",
        "update",
        "setdefault",
        "pop",
        "popitem",
        "clear",
        "remove",
        "discard",
    }
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in mutators
    ):
        return ast.unparse(node.func.value)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return ast.unparse(node.value)
    return ast.unparse(node.target) if isinstance(node, ast.AugAssign) else None


def test_handlers_parse_call_and_render() -> None:
    """More statements than these mean that a handler decides something, which is a service's work."""
    lengths = {
        f"{name}.{function.name}": statements(function)
        for name, tree in MODULES.items()
        if name.startswith("handlers.")
        for function in functions(tree)
        if function.name in VERBS
    }
    assert {verb: count for verb, count in lengths.items() if count > VERB_STATEMENTS} == {}


def test_every_route_says_who_may_use_it() -> None:
    for pattern, handler, *_ in ROUTES:
        assert handler.audience in ("public", "user", "staff"), pattern


def test_a_handler_that_says_nothing_is_refused_to_everybody() -> None:
    base = next(
        value
        for pattern, handler, *_ in ROUTES
        for value in handler.__mro__
        if value.__name__ == "BaseHandler"
    )
    assert base.audience == "nobody"


def test_every_handlers_module_ends_with_its_routes() -> None:
    for path in (ROOT / "chatsvc" / "handlers").glob("*.py"):
        tree = MODULES[f"handlers.{path.stem}"] if path.stem != "__init__" else MODULES["handlers"]
        bound = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
        if "ROUTES" in bound:
            assert isinstance(tree.body[-1], ast.Assign) and bound[-1] == "ROUTES", path.name
