"""The structure that ARCHITECTURE.md and CONTRIBUTING.md describe, read from the source."""

import ast
import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatsvc.app import ROUTES
from tests.support.process import ROOT

# Highest first. A module imports from its own layer and those below; a new module belongs into one of them.
LAYERS: list[tuple[str, ...]] = [
    ("server", "__main__"),
    ("cli", "doctor*"),
    ("run",),
    ("app",),
    ("openapi", "accesslog", "handlers.*"),
    ("services",),
    ("catchup",),
    ("account", "chips"),
    ("chats", "search", "notices", "identity", "streams", "subscriber", "readiness", "cursor"),
    ("store.*",),
    ("db", "bus", "redis_*", "mailer", "smtp", "letters", "schema", "tokens", "passwords", "profile",
     "presentation", "rendering", "metrics", "summary", "embedded*"),
    ("wire", "models", "events", "errors", "delivery", "config", "options", "parsers", "session", "connection", "webserver",
     "texts", "assets", "bundle", "line", "excerpts"),
    ("", "address", "words", "limits", "logs", "signals", "sdnotify", "listening", "poller", "handlers", "store", "migrations*"),
]  # fmt: skip
# What blocks, and so may not be reached from a handler or a service other than through Database.
DRIVERS = {"psycopg2", "peewee", "playhouse"}
MAY_USE_DRIVERS = (
    "session",
    "models",
    "schema",
    "store.*",
    "db",
    "embedded*",
    "migrations*",
    "doctor*",
    "run",
    "cli",
    "parsers",
)
MAY_SLEEP = {
    "embedded_cluster": "its own thread",
    "embedded_locks": "blocks on purpose, before the loop or beside it",
    "run": "waits for the database before the loop starts",
}
MAY_CACHE = {
    "address.is_within": "pure",
    "handlers.body._decoder": "pure",
    "handlers.body._required_fields": "pure",
    "passwords._dummy_hash": "a hash that nobody's password has",
}
VERBS = {"get", "head", "post", "put", "patch", "delete", "options"}
MODULE_LINES, FUNCTION_LINES, VERB_LINES = 300, 30, 15


def modules() -> dict[str, ast.Module]:
    """The package's modules by dotted name without `chatsvc.`, and `server`."""
    found = {"server": ROOT / "server.py"}
    for path in sorted((ROOT / "chatsvc").rglob("*.py")):
        parts = path.relative_to(ROOT / "chatsvc").with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").removesuffix(".")] = path
    return {name: ast.parse(path.read_text()) for name, path in found.items()}


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports when it runs: ours without `chatsvc.`, others by their first name with a leading `/`."""
    skipped = {id(node) for block in ast.walk(tree) if _is_type_checking(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            full = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
            if full.split(".")[0] != "chatsvc":
                yield f"/{full.split('.')[0]}"
                continue
            name = full.removeprefix("chatsvc").removeprefix(".")
            yield name if name in MODULES else name.rpartition(".")[0]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def layer(name: str) -> int:
    found = [number for number, patterns in enumerate(LAYERS) if matches(name, patterns)]
    assert found, f"{name!r} is in no layer: put it into LAYERS"
    return found[0]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno
    return node.end_lineno - node.lineno + 1


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_imports_go_down_only() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in MODULES.items()
        for imported in set(imports(tree))
        if not imported.startswith("/") and layer(imported) < layer(name)
    ]
    assert wrong == []


def test_nothing_imports_in_a_circle() -> None:
    graph = {name: {found for found in imports(tree) if found in MODULES and found} for name, tree in MODULES.items()}
    while graph:
        leaves = [name for name, needed in graph.items() if not needed & graph.keys()]
        assert leaves, f"a circle among {sorted(graph)}"
        for name in leaves:
            del graph[name]


def test_only_app_chooses_among_implementations() -> None:
    for name, tree in MODULES.items():
        if name != "app" and layer(name) > layer("app"):
            assert not {"bus", "redis_bus", "mailer"} & set(imports(tree)) or name in ("bus", "redis_bus", "mailer"), (
                name
            )


def test_handlers_see_services_and_no_database() -> None:
    for name, tree in MODULES.items():
        if layer(name) == layer("handlers.base"):
            below = {found for found in imports(tree) if matches(found, ("db", "session", "models", "store*", "bus"))}
            assert not below, f"{name} imports {below}"


def test_database_drivers_are_used_on_database_threads_alone() -> None:
    for name, tree in MODULES.items():
        if not matches(name, MAY_USE_DRIVERS):
            assert not {f"/{driver}" for driver in DRIVERS} & set(imports(tree)), name


@pytest.mark.parametrize("what", ["PeriodicCallback", "compress_response"])
def test_it_is_not_used(what: str) -> None:
    """A wall clock that is stepped back stops the first; the second compresses event streams too."""
    for name, tree in MODULES.items():
        used = {getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None))) for node in ast.walk(tree)}
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert what not in used | imported, name


def test_the_loop_does_not_sleep() -> None:
    sleeping = {name for name, tree in MODULES.items() if any(call == "time.sleep" for call, _ in calls(tree))}
    assert sleeping <= set(MAY_SLEEP)


def test_there_is_no_state_in_modules() -> None:
    """Containers at module level are constants: named as such, never changed. Caches hold what is pure."""
    for name, tree in MODULES.items():
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name
        containers = {target for node in tree.body for target in container_names(node)}
        assert all(target.strip("_").isupper() or target == "__all__" for target in containers), (name, containers)
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
    makers = ("list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "WeakSet", "WeakKeyDictionary")
    made = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).split("[")[0].split(".")[-1] in makers
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
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in mutators:
        return ast.unparse(node.func.value)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return ast.unparse(node.value)
    return ast.unparse(node.target) if isinstance(node, ast.AugAssign) else None


def test_handlers_parse_call_and_render() -> None:
    for name, tree in MODULES.items():
        if name.startswith("handlers."):
            for one in functions(tree):
                assert one.name not in VERBS or length(one) <= VERB_LINES, f"{name}.{one.name}: {length(one)} lines"


def test_modules_and_functions_stay_short() -> None:
    paths = [ROOT / "server.py", *(ROOT / "chatsvc").rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name: count for name, count in lines.items() if count > MODULE_LINES} == {}
    lengths = {f"{name}.{one.name}": length(one) for name, tree in MODULES.items() for one in functions(tree)}
    del lengths["app.__init__"]  # a list of what there is; splitting it hides it
    assert {name: count for name, count in lengths.items() if count > FUNCTION_LINES} == {}


def test_every_route_says_who_may_use_it() -> None:
    for pattern, handler, *_ in ROUTES:
        assert handler.audience in ("public", "user", "staff"), pattern


def test_a_handler_that_says_nothing_is_refused_to_everybody() -> None:
    base = next(
        value for pattern, handler, *_ in ROUTES for value in handler.__mro__ if value.__name__ == "BaseHandler"
    )
    assert base.audience == "nobody"


def test_every_handlers_module_ends_with_its_routes() -> None:
    for path in (ROOT / "chatsvc" / "handlers").glob("*.py"):
        tree = MODULES[f"handlers.{path.stem}"] if path.stem != "__init__" else MODULES["handlers"]
        bound = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
        if "ROUTES" in bound:
            assert isinstance(tree.body[-1], ast.Assign) and bound[-1] == "ROUTES", path.name


def test_the_layers_name_no_module_that_is_long_gone() -> None:
    """Planned modules may stand there; patterns that match nothing and are not planned are forgotten lines."""
    planned = {"mailer"}
    for patterns in LAYERS:
        for pattern in patterns:
            assert pattern in planned or any(fnmatch.fnmatchcase(name, pattern) for name in MODULES), pattern
    assert Path(ROOT / "chatsvc").is_dir()
