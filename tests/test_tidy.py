"""The house style as a test: sizes, names, and what may stand where.

Each check is a function from a source file to its findings; the table CASES shows each of them one
file it passes and one it stops. To allow an exception, add its place and the reason to the list
beside the check; an entry that nothing needs any more is a finding too.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 5
POSITIONAL_MAX = 2
# What a function works in, not on: given first, it is what `self` would be (docs/decisions/0002).
SURROUNDINGS = {"tx", "turn", "desk", "front", "db"}
DOCSTRING_SENTENCES_MAX = 5

# Files whose decorated functions have the parameters that a library reads from their signature.
SIGNATURES_READ_BY_LIBRARIES = {
    "trimtab/cli.py": "typer makes an option of each parameter",
    "trimtab/cli_*.py": "typer makes an option of each parameter",
    "trimtab/api/*.py": "litestar fills the parameters of a route by name",
    "trimtab/dashboard/*.py": "litestar fills the parameters of a route by name",
}

# Places ("file::function") whose parameters somebody else has laid down.
SIGNATURES_OF_OTHERS: dict[str, str] = {
    "trimtab/api/stream.py::__call__": "the three parameters of ASGI",
    "trimtab/server.py::dispatch": "the three parameters of ASGI",
}

# Places ("file::function") that may catch everything.
BROAD_EXCEPTS = {
    "trimtab/brokers/crypto_exchange.py::ask": "whatever a hundred exchanges' parsers meet is no answer",
    "trimtab/brokers/crypto_exchange.py::send": "no trouble after an order has left may look like a refusal",
    "trimtab/api/stream.py::_speak": "an event stream that has begun can only say that it failed, and end",
    "trimtab/brokers/alpaca_stream.py::_run": "the thread outlives whatever one connection meets",
    "trimtab/engine/advance.py::_decide": "one run that nobody foresaw must not stop the others of its shard",
    "trimtab/engine/desk.py::drive": "whatever an effect raises is raised where it was yielded",
    "trimtab/engine/local.py::tick": "a shard that nobody foresaw must not starve those behind it",
    "trimtab/engine/local.py::_run": "the worker loop outlives whatever one round meets",
    "trimtab/database.py::_attempt": "one writer's failure is handed to that writer, not to its group",
    "trimtab/database.py::_commit_waiting": "a failed commit is handed to every waiting writer",
}

BANNED_WORDS = {
    "base": "say what it is",
    "common": "put it beside its data",
    "handler": "name the verb",
    "helper": "put it beside its data",
    "manager": "name the noun",
    "processor": "name the verb",
    "service": "name the noun",
    "util": "put it beside its data",
}
BANNED_FIRST_WORDS = {
    "get": "name what comes back",
    "handle": "name the verb",
    "process": "name the verb",
}

# Places ("file::name") whose name somebody else has laid down.
NAMES_OF_OTHERS: dict[str, str] = {}

SQL_PLACES = {
    "trimtab/store/*": "the house of SQL",
    "trimtab/database.py": "what differs between the databases",
    "trimtab/brokers/paper*.py": "the paper broker is a market with a database of its own",
}
SQL = re.compile(
    r"\s*(SELECT\s|WITH\s+\w+\s+AS\b|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\s"
    r"|(CREATE|ALTER|DROP)\s+(TEMP|TABLE|UNIQUE|INDEX|SCHEMA|VIEW|TRIGGER|SEQUENCE|DATABASE)\w*\s)"
)

# The first word of the files in trimtab/api that speak them.
DIALECTS = ("alpaca", "glider")

ENVIRONMENT_PLACES = {"trimtab/settings.py", "trimtab/boot.py"}

# Where a function may import: what it needs takes long to load, and most commands do without it.
LATE_IMPORTS = {"trimtab/boot.py", "trimtab/cli.py", "trimtab/cli_open.py", "trimtab/cli_paper.py"}

# Modules that no other module imports.
ENTRY_POINTS = {
    "trimtab/__main__.py": "python -m trimtab",
    "trimtab/cli.py": "the command `trimtab`",
    "trimtab/store/migrations/*": "Alembic loads them",
}

CORE_NEVER_IMPORTS = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3"}
CORE_NEVER_IMPORTS |= {"subprocess", "sys", "tempfile", "threading", "time", "urllib"}

CLOCKS_AND_CHANCE = {
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "os.urandom",
    "time.monotonic",
    "time.perf_counter",
    "time.sleep",
    "time.time",
    "uuid.uuid1",
    "uuid.uuid4",
}

LEFTOVERS = re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b|\b[f]or now\b(?! in )", re.IGNORECASE)
LEFTOVERS_KINDS = {".css", ".html", ".js", ".mako", ".py", ".sql"}

# Written with one letter in brackets, so that this file does not name them either.
ADDRESSES = re.compile(
    r"[p]ypi\.org|[p]ythonhosted\.org|registry\.[n]pmjs\.org|[i]ndex-url[ =]+(?:http|file)"
    r"|\"resolved\": *\"http|(?<![\w.~])/(?:[w]ork|[t]mp/w|[r]oot|[o]pt/pypi)\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A file of the tree, by its path from the top."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def placed(self) -> list[tuple[str, ast.AST]]:
        """Every node with the name of the innermost function or class it stands in."""
        return list(_placed(self.tree, "module"))

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def within(self, *folders: str) -> bool:
        return self.path.startswith(tuple(f"{folder}/" for folder in folders))

    def at(self, node: ast.AST, finding: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {finding}"


def _placed(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        yield place, child
        opens = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _placed(child, getattr(child, "name", place) if opens else place)


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every module a file may import: `from a import b` names both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr) -> str:
    """The last two names of a dotted expression: `datetime.now` for `datetime.datetime.now`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value).rpartition('.')[2]}.{node.attr}"
    return ""


def words_of(name: str) -> list[str]:
    """The words of a name, in the singular: `OrderUtils` and `order_utils` are order, util."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return [word.lower() if word.endswith("ss") else word.lower().removesuffix("s") for word in words]


# Checks of one Python file.


def file_length(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if source.within("trimtab", "bench") and lines > FILE_LINES_MAX:
        yield f"{source.path}: {lines} lines, at most {FILE_LINES_MAX}: split it by noun"


def function_length(source: Source) -> Iterator[str]:
    for function in source.functions if source.within("trimtab", "bench") else []:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield source.at(function, f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}")


def parameters(source: Source) -> Iterator[str]:
    library_reads = matches(source.path, SIGNATURES_READ_BY_LIBRARIES)
    for function in source.functions if source.within("trimtab", "bench") else []:
        if (
            (function.decorator_list and library_reads)
            or f"{source.path}::{function.name}" in SIGNATURES_OF_OTHERS
            or (re.fullmatch(r"__\w+__", function.name) and function.name not in {"__init__", "__call__"})
        ):
            continue
        positional = [*function.args.posonlyargs, *function.args.args]
        if positional and positional[0].arg in {"self", "cls"} | SURROUNDINGS:
            positional = positional[1:]
        if len(positional) > POSITIONAL_MAX:
            names = ", ".join(each.arg for each in positional[POSITIONAL_MAX:])
            yield source.at(function, f"{function.name}: after the second, keyword-only: {names}")
        count = len(positional) + len(function.args.kwonlyargs)
        if count > PARAMETERS_MAX:
            yield source.at(function, f"{function.name} has {count} parameters, at most {PARAMETERS_MAX}")


def module_docstring(source: Source) -> Iterator[str]:
    if not source.text.strip():
        return
    docstring = ast.get_docstring(source.tree)
    if docstring is None:
        yield f"{source.path}: say in one to five sentences what lives here, what does not, and why"
        return
    first_paragraphs = re.sub(r"\b(e\.g|i\.e)\.", "", docstring)
    sentences = len(re.findall(r"[.!?][\"')`]*(?=\s|$)", first_paragraphs))
    if sentences > DOCSTRING_SENTENCES_MAX:
        yield f"{source.path}: {sentences} sentences of docstring, at most {DOCSTRING_SENTENCES_MAX}"


def names(source: Source) -> Iterator[str]:
    if not source.within("trimtab", "bench"):
        return
    named: list[tuple[ast.AST, str]] = [(source.tree, Path(source.path).stem)]
    named += [
        (node, node.name)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for node, name in named:
        if f"{source.path}::{name}" in NAMES_OF_OTHERS:
            continue
        words = words_of(name)
        for word in set(words) & set(BANNED_WORDS):
            yield source.at(node, f"{name}: no {word!r}: {BANNED_WORDS[word]}")
        verb = words[0] if words and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        if verb in BANNED_FIRST_WORDS and len(words) > 1:
            yield source.at(node, f"{name}: no {verb!r}: {BANNED_FIRST_WORDS[verb]}")


def clocks_and_chance(source: Source) -> Iterator[str]:
    if not source.within("trimtab/core", "trimtab/engine"):
        return
    last_names = {each.rpartition(".")[2] for each in CLOCKS_AND_CHANCE if each.startswith("uuid.")}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node)
            if name in CLOCKS_AND_CHANCE or name in last_names or name.split(".")[0] in {"random", "secrets"}:
                yield source.at(node, f"{name}: take it as a parameter; boot makes clocks, ids and chance")
    for node, module in imported(source.tree):
        if module in {"random", "secrets"} | (CLOCKS_AND_CHANCE - {"date.today"}):
            yield source.at(node, f"{module}: take it as a parameter; boot makes clocks, ids and chance")


def core_is_pure(source: Source) -> Iterator[str]:
    for node, module in imported(source.tree) if source.within("trimtab/core") else []:
        top = module.split(".")[0]
        if module.startswith("trimtab."):
            if not module.startswith("trimtab.core"):
                yield source.at(node, f"core imports {module}: imports go down only")
        elif module != "trimtab" and (top not in sys.stdlib_module_names or top in CORE_NEVER_IMPORTS):
            yield source.at(node, f"core imports {module}: it is pure, the standard library only")


def floats(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree) if source.within("trimtab/core") else []:
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called in {"float", "round"}:
            yield source.at(node, f"{called}(: money is Decimal from a string, with a named rounding")
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield source.at(node, f"{node.value}: write the decimal as a string")


def environment(source: Source) -> Iterator[str]:
    if not source.within("trimtab") or source.path in ENVIRONMENT_PLACES:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and dotted(node) in {"os.environ", "os.getenv", "os.putenv"}:
            yield source.at(node, f"{dotted(node)}: only settings and boot read the environment")


def sql_place(source: Source) -> Iterator[str]:
    if not source.within("trimtab") or matches(source.path, SQL_PLACES):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            yield source.at(node, "SQL lives in trimtab/store")


def broad_excepts(source: Source) -> Iterator[str]:
    for place, node in source.placed if source.within("trimtab", "bench") else []:
        if f"{source.path}::{place}" not in BROAD_EXCEPTS and is_broad(node):
            yield source.at(node, f"{place} catches everything: catch the named error where you can act")


def is_broad(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        caught = node.type
        kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    elif isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
        kinds = list(node.args)
    else:
        return False
    return any(kind is None or dotted(kind) in {"Exception", "BaseException"} for kind in kinds)


def imports_on_top(source: Source) -> Iterator[str]:
    for function in [] if source.path in LATE_IMPORTS else source.functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield source.at(node, f"{function.name} imports: put it on top, or mend the direction")
    for node in ast.walk(source.tree) if source.within("trimtab") else []:
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            yield source.at(node, "TYPE_CHECKING hides a circle: mend the direction")


def asserts_something(source: Source) -> Iterator[str]:
    if not source.within("tests") or not Path(source.path).name.startswith("test_"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert) or (
            isinstance(node, ast.Call) and dotted(node.func) == "pytest.raises"
        ):
            return
    yield f"{source.path}: asserts nothing"


# Checks of one file of any kind.


def leftovers(source: Source) -> Iterator[str]:
    if Path(source.path).suffix in LEFTOVERS_KINDS:
        for number, line in enumerate(source.text.splitlines(), start=1):
            if found := LEFTOVERS.search(line):
                yield f"{source.path}:{number}: {found[0]!r}: do it, raise a named error, or open an issue"


def addresses(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if found := ADDRESSES.search(line):
            yield f"{source.path}:{number}: {found[0]!r} is an address of one machine or of a package index"


Check = Callable[[Source], Iterator[str]]

PYTHON_CHECKS: list[Check] = [
    file_length,
    function_length,
    parameters,
    module_docstring,
    names,
    clocks_and_chance,
    core_is_pure,
    floats,
    environment,
    sql_place,
    broad_excepts,
    imports_on_top,
    asserts_something,
]
TEXT_CHECKS: list[Check] = [leftovers, addresses]


@cache
def tree() -> tuple[Source, ...]:
    """Every text file that is, or would be, in git; without git, every file outside hidden folders."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not is_derived(path.relative_to(ROOT))]
    return tuple(read(path) for path in sorted(paths) if path.is_file() and is_text(path))


def is_derived(path: Path) -> bool:
    kept = {".ci", ".github"}
    return any(
        (part.startswith(".") and part not in kept) or part in {"__pycache__", "build"} or ".egg-info" in part
        for part in path.parts
    )


def is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:8192]


def read(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace"))


def python_files() -> list[Source]:
    return [source for source in tree() if source.path.endswith(".py")]


def dead_modules(sources: list[Source]) -> Iterator[str]:
    """Modules of the package that no other module of it imports or names in a string."""
    package = [source for source in sources if source.within("trimtab")]
    for source in package:
        if source.path.endswith("/__init__.py") or matches(source.path, ENTRY_POINTS):
            continue
        module = source.path.removesuffix(".py").replace("/", ".")
        others = [other for other in package if other is not source]
        if not any(names_module(other, module) for other in others):
            yield f"{source.path}: nothing imports it"


def names_module(source: Source, module: str) -> bool:
    if any(name == module for _, name in imported(source.tree)):
        return True
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split(":")[0] == module
        for node in ast.walk(source.tree)
    )


def mixed_dialects(sources: list[Source]) -> Iterator[str]:
    """Modules of one dialect that reach a module of another, be it through a third."""
    graph = {
        source.path.removesuffix(".py").replace("/", "."): {name for _, name in imported(source.tree)}
        for source in sources
        if source.within("trimtab/api")
    }
    for start in graph:
        reached, new = set[str](), {start}
        while new:
            reached |= new
            new = set[str]().union(*(graph[module] & graph.keys() for module in new)) - reached
        for module in sorted(reached):
            if {dialect_of(start), dialect_of(module)} == set(DIALECTS):
                yield f"{start} reaches {module}: the dialects are unaware of each other"


def dialect_of(module: str) -> str:
    return module.rpartition(".")[2].partition("_")[0]


def stale_places(sources: list[Source]) -> Iterator[str]:
    """Entries of the lists above whose place no longer exists."""
    broad = {
        f"{source.path}::{place}" for source in sources for place, node in source.placed if is_broad(node)
    }
    yield from (f"BROAD_EXCEPTS: {place} catches nothing broad" for place in set(BROAD_EXCEPTS) - broad)
    defined = {
        f"{source.path}::{getattr(node, 'name', '')}" for source in sources for _, node in source.placed
    }
    for place in (set(SIGNATURES_OF_OTHERS) | set(NAMES_OF_OTHERS)) - defined:
        yield f"{place} is exempted and does not exist"


def assert_none(found: Iterable[str]) -> None:
    findings = list(found)
    assert not findings, "\n".join(["not tidy:", *findings])


@pytest.mark.parametrize("check", PYTHON_CHECKS, ids=lambda check: check.__name__)
def test_python_is_tidy(check: Check) -> None:
    assert_none(chain.from_iterable(map(check, python_files())))


@pytest.mark.parametrize("check", TEXT_CHECKS, ids=lambda check: check.__name__)
def test_every_file_is_tidy(check: Check) -> None:
    assert_none(chain.from_iterable(map(check, tree())))


def test_no_module_is_dead() -> None:
    assert_none(dead_modules(python_files()))


def test_dialects_are_apart() -> None:
    assert_none(mixed_dialects(python_files()))


def test_no_exemption_is_stale() -> None:
    assert_none(stale_places(python_files()))


DOC = '"""Prices."""\n'
CORE = "trimtab/core/prices.py"
ENGINE = "trimtab/engine/sweep.py"
STORE = "trimtab/store/runs.py"

# check, path, source, number of findings; a bar breaks words that may not stand in this file either
CASES: list[tuple[Check, str, str, int]] = [
    (file_length, CORE, "\n" * 400, 0),
    (file_length, CORE, "\n" * 401, 1),
    (file_length, "tests/test_prices.py", "\n" * 401, 0),
    (function_length, CORE, "def f():\n" + "    1\n" * 59, 0),
    (function_length, CORE, "def f():\n" + "    1\n" * 60, 1),
    (parameters, CORE, "class A:\n    def f(self, a, b, *, c, d, e): ...", 0),
    (parameters, CORE, "def f(a, b, *, c, d, e, g): ...", 1),
    (parameters, CORE, "def f(a, b, c): ...", 1),
    (parameters, CORE, "class A:\n    def __exit__(self, a, b, c): ...", 0),
    (parameters, CORE, "class A:\n    def __init__(self, a, b, c): ...", 1),
    (
        parameters,
        CORE,
        "@dataclass\nclass A:\n    a: int\n    b: int\n    c: int\n    d: int\n    e: int\n    f: int",
        0,
    ),
    (parameters, "trimtab/cli.py", "@app.command()\ndef demo(a, b, c): ...", 0),
    (parameters, "trimtab/cli.py", "def demo(a, b, c): ...", 1),
    (module_docstring, CORE, '"""Prices, e.g. of shares. No orders."""', 0),
    (module_docstring, CORE, "A = 1", 1),
    (module_docstring, CORE, '"""One. Two. Three. Four. Five. Six."""', 1),
    (module_docstring, "trimtab/core/__init__.py", "", 0),
    (names, CORE, "class Database: ...\ndef gate(): ...\ndef based_on(): ...", 0),
    (names, CORE, "class OrderManager: ...", 1),
    (names, CORE, "class BaseOrder: ...\ndef order_helpers(): ...", 2),
    (names, "trimtab/core/utils.py", "", 1),
    (names, CORE, "def get_price(): ...\ndef process_order(): ...", 2),
    (clocks_and_chance, ENGINE, "from datetime import datetime\nnow = datetime.fromtimestamp(0)", 0),
    (clocks_and_chance, ENGINE, "from datetime import datetime\nnow = datetime.now(UTC)", 1),
    (clocks_and_chance, ENGINE, "import datetime\nnow = datetime.datetime.utcnow()", 1),
    (clocks_and_chance, ENGINE, "id = uuid4()", 1),
    (clocks_and_chance, ENGINE, "import time\nnow = time.time()", 1),
    (clocks_and_chance, ENGINE, "from time import time", 1),
    (clocks_and_chance, ENGINE, "import random", 1),
    (clocks_and_chance, "trimtab/boot.py", "id = uuid4()", 0),
    (core_is_pure, CORE, "from decimal import Decimal\nfrom trimtab.core import money", 0),
    (core_is_pure, CORE, "import numpy", 1),
    (core_is_pure, CORE, "import sqlite3", 1),
    (core_is_pure, CORE, "import trimtab.settings", 1),
    (core_is_pure, ENGINE, "import numpy", 0),
    (floats, CORE, "a = Decimal('0.1')", 0),
    (floats, CORE, "a = Decimal(0.1)", 1),
    (floats, CORE, "a = float('1')\nb = round(a)", 2),
    (floats, ENGINE, "a = float('1')", 0),
    (environment, "trimtab/settings.py", "import os\na = os.environ['A']", 0),
    (environment, ENGINE, "import os\na = os.environ['A']", 1),
    (sql_place, STORE, "a = 'SELECT 1'", 0),
    (sql_place, "trimtab/brokers/paper_market.py", "a = 'SELECT 1'", 0),
    (sql_place, ENGINE, "a = 'SELECT 1'", 1),
    (sql_place, ENGINE, "a = '''\n    UPDATE runs SET state = 1'''", 1),
    (sql_place, ENGINE, "a = f'DELETE FROM {b}'", 1),
    (sql_place, ENGINE, "a = 'DELETE /v1/runs', 'Selected', 'UPDATE'", 0),
    (broad_excepts, ENGINE, "try: ...\nexcept (KeyError, ValueError): ...", 0),
    (broad_excepts, ENGINE, "try: ...\nexcept Exception: ...", 1),
    (broad_excepts, ENGINE, "try: ...\nexcept (KeyError, BaseException): ...", 1),
    (broad_excepts, ENGINE, "try: ...\nexcept: ...", 1),
    (broad_excepts, ENGINE, "with contextlib.suppress(Exception): ...", 1),
    (imports_on_top, CORE, "import decimal", 0),
    (imports_on_top, CORE, "def f():\n    import decimal", 1),
    (imports_on_top, "trimtab/boot.py", "def f():\n    import decimal", 0),
    (imports_on_top, CORE, "if TYPE_CHECKING:\n    import decimal", 1),
    (asserts_something, "tests/test_prices.py", "def test_a():\n    assert price() == 1", 0),
    (
        asserts_something,
        "tests/test_prices.py",
        "def test_a():\n    with pytest.raises(KeyError): price()",
        0,
    ),
    (asserts_something, "tests/test_prices.py", "def test_a():\n    price()", 1),
    (leftovers, CORE, "a = 1  # for nowhere, todos", 0),
    (leftovers, CORE, "a = 1  # TO|DO: more", 1),
    (leftovers, STORE.replace(".py", ".sql"), "-- FIX|ME", 1),
    (leftovers, "README.md", "XX|X", 0),
    (addresses, "README.md", "https://example.com/work/a and ~/work, site/root", 0),
    (addresses, "README.md", "see /wo|rk/main", 1),
    (addresses, "requirements.lock", "--index|-url https://example.com/simple", 1),
    (addresses, "requirements.lock", "# https://py|pi.org/simple", 1),
]


@pytest.mark.parametrize(("check", "path", "text", "findings"), CASES)
def test_a_check_finds_what_it_should(check: Check, path: str, text: str, findings: int) -> None:
    assert len(list(check(Source(path, text.replace("|", ""))))) == findings


@pytest.mark.parametrize("check", [*PYTHON_CHECKS, *TEXT_CHECKS], ids=lambda check: check.__name__)
def test_a_check_has_shown_both_answers(check: Check) -> None:
    assert {findings > 0 for each, _, _, findings in CASES if each is check} == {True, False}


def test_a_dead_module_is_found() -> None:
    package = {
        "trimtab/cli.py": "from trimtab import server",
        "trimtab/server.py": "from trimtab.core.money import Cents\nTARGET = 'trimtab.app:make'",
        "trimtab/app.py": "",
        "trimtab/core/money.py": "",
        "trimtab/core/dead.py": "import trimtab.core.dead",
        "tests/test_dead.py": "import trimtab.core.dead",
    }
    sources = [Source(path, dedent(text)) for path, text in package.items()]
    assert list(dead_modules(sources)) == ["trimtab/core/dead.py: nothing imports it"]


def test_a_mixed_dialect_is_found() -> None:
    package = {
        "trimtab/api/app.py": "from trimtab.api import alpaca_routes, glider_routes",
        "trimtab/api/alpaca_routes.py": "from trimtab.api import alpaca_wire, stream",
        "trimtab/api/alpaca_wire.py": "",
        "trimtab/api/glider_routes.py": "from trimtab.api import glider_wire",
        "trimtab/api/glider_wire.py": "",
        "trimtab/api/stream.py": "from trimtab.api.glider_wire import Event",
    }
    assert list(mixed_dialects([Source(path, text) for path, text in package.items()])) == [
        "trimtab.api.alpaca_routes reaches trimtab.api.glider_wire: the dialects are unaware of each other"
    ]


def test_a_stale_exemption_is_found() -> None:
    broad = [f"BROAD_EXCEPTS: {place} catches nothing broad" for place in BROAD_EXCEPTS]
    others = [
        f"{place} is exempted and does not exist" for place in [*SIGNATURES_OF_OTHERS, *NAMES_OF_OTHERS]
    ]
    assert sorted(stale_places([])) == sorted([*broad, *others])
