"""What a test file depends on: grimp's graph of imports, and the ways around it that this repository uses.

Nodes are modules ("tests.flows.test_orders"), fixtures ("tests.kit.server_fixtures:redis_url"), the text of a module that
holds fixtures ("tests.conftest:"), files that are not Python ("docs/compose.md") and their folders ("docs/"). An edge leads from what
depends to what it depends on.

What conftest.py imports for one fixture counts for the tests that use this fixture, and not for the whole folder.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import grimp

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("shared_lib", "functions", "infra", "benchmarks", "tests")
# It imports a function by the name of its door, so the import stands nowhere.
LOADERS: Final = ("shared_lib.web.asgi",)
_MODULE: Final = re.compile(rf"(?:{'|'.join(ROOMS)})(?:\.\w+)+")
_TOO_COMMON: Final = frozenset({"__init__.py", ".gitignore", "README.md"})


@dataclass(frozen=True, slots=True)
class Imports:
    """The graph, and where its modules are."""

    edges: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    modules: dict[str, str] = field(default_factory=dict)  # module -> path
    tests: dict[str, str] = field(default_factory=dict)  # those of them that hold tests

    def nodes_of(self, path: str) -> Iterator[str]:
        """What a changed file is in the graph. One that is not Python stands for itself, for its folders and for its package."""
        if path.endswith(".py"):
            yield module_of(path)
            yield f"{module_of(path)}:"
            return
        yield path
        folders = [str(folder) for folder in PurePosixPath(path).parents][:-1]
        yield from (f"{folder}/" for folder in folders)
        packages = (module_of(folder) for folder in folders if module_of(folder) in self.modules)
        yield from itertools.islice(packages, 1)

    def steps_to(self, targets: Iterable[str]) -> dict[str, int]:
        """Every node from which a target can be reached, with the length of its shortest way there."""
        backwards: dict[str, set[str]] = defaultdict(set)
        for node, others in self.edges.items():
            for other in others:
                backwards[other].add(node)
        steps = dict.fromkeys(targets, 0)
        waiting = deque(steps)
        while waiting:
            node = waiting.popleft()
            for before in backwards[node] - steps.keys():
                steps[before] = steps[node] + 1
                waiting.append(before)
        return steps

    def reached_from(self, module: str) -> set[str]:
        """Everything that `module` depends on, and itself."""
        reached, waiting = {module}, [module]
        while waiting:
            fresh = self.edges.get(waiting.pop(), set()) - reached
            reached |= fresh
            waiting += fresh
        return reached


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def read_imports(root: Path = ROOT) -> Imports:
    """Read every Python file that git would commit; takes about a second."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    files = [path for path in listed if (root / path).is_file()]
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    imports = Imports()
    for path in files:
        if path.endswith(".py") and path.startswith(ROOMS):
            imports.modules[module_of(path)] = path
    for module, path in imports.modules.items():
        if module in graph.modules:
            imports.edges[module] |= graph.find_modules_directly_imported_by(module)
        if path.startswith("tests/") and path.rpartition("/")[2].startswith("test_"):
            imports.tests[module] = path
    for module in list(imports.edges):  # importing a.b.c runs a and a.b first
        for imported in list(imports.edges[module]):
            imports.edges[module] |= {above for above in _above(imported) if above in imports.modules}
    for loader in LOADERS:
        imports.edges[loader] |= {
            name for name in imports.modules if re.fullmatch(r"functions\.\w+\.main", name)
        }
    _Reader(root, imports, [path for path in files if not path.endswith(".py")]).read()
    return imports


def _above(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


class _Reader:
    """Adds what no import says: fixtures by name, modules and files in strings."""

    def __init__(self, root: Path, imports: Imports, files: list[str]) -> None:
        self._root = root
        self._imports = imports
        self._trees = {
            module: ast.parse((root / path).read_text())
            for module, path in imports.modules.items()
            if path.startswith("tests/")
        }
        self._folders: set[str] = set()
        self._files: dict[str, set[str]] = defaultdict(set)  # a file's name -> the files called so
        for path in files:
            pure = PurePosixPath(path)
            if pure.name not in _TOO_COMMON:
                self._files[pure.name].add(path)
            self._folders |= {str(folder) for folder in pure.parents}
        self._fixtures: dict[str, set[str]] = defaultdict(set)  # name -> its nodes

    def read(self) -> None:
        for module, tree in self._trees.items():
            for function in filter(_is_fixture, ast.walk(tree)):
                assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                self._fixtures[function.name].add(f"{module}:{function.name}")
        for module, tree in self._trees.items():
            if module.endswith(".conftest"):
                self._give(module, f"{module}:")
            self._fixtures_in(module, tree)
            self._imports.edges[module] |= self._named_in(tree)
        for module, path in self._imports.modules.items():
            if path.startswith(("infra/", "benchmarks/")):
                self._imports.edges[module] |= self._started_by(ast.parse((self._root / path).read_text()))

    def _started_by(self, tree: ast.Module) -> set[str]:
        """Modules in strings that hold nothing else: arguments of `python -m`."""
        names = {
            str(node.value).partition(":")[0] for node in ast.walk(tree) if isinstance(node, ast.Constant)
        }
        names |= {f"{name}.__main__" for name in names}
        return names & self._imports.modules.keys()

    def _fixtures_in(self, module: str, tree: ast.Module) -> None:
        names = _Names(tree)
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            wanted = {node for name in _asked_for(function) for node in self._visible(name, module)}
            if _is_fixture(function):
                node = f"{module}:{function.name}"
                used = {name for name in names.used_by(function) if name in self._imports.modules}
                self._imports.edges[node] |= {f"{module}:"} | wanted | used | self._named_in(function)
                if _is_autouse(function):
                    self._give(module, node)
            else:
                self._imports.edges[module] |= wanted

    def _give(self, module: str, node: str) -> None:
        """All tests of a conftest.py's folder depend on `node`; of another module, its own tests."""
        for test in self._imports.tests:
            if _sees(test, module):
                self._imports.edges[test].add(node)

    def _visible(self, name: str, module: str) -> set[str]:
        """The fixtures of that name which a test of `module` may get."""
        return {node for node in self._fixtures[name] if self._may_use(module, node.partition(":")[0])}

    def _may_use(self, module: str, home: str) -> bool:
        plugin = home not in self._imports.tests and not home.endswith(".conftest")
        return plugin or _sees(module, home)

    def _named_in(self, tree: ast.AST) -> set[str]:
        """Modules and files whose names stand in a string, and folders that are all of it."""
        named: set[str] = set()
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or node in docstrings:
                continue
            for name in _MODULE.findall(node.value):
                named |= {found for found in (name, f"{name}.__main__") if found in self._imports.modules}
            if node.value in self._folders:
                named.add(f"{node.value}/")
            for word in re.split(r"[^\w.-]+", node.value):
                named |= self._files.get(word, set())
        return named


class _Names:
    """Which modules the names in a module lead to, through its own functions and classes as well."""

    def __init__(self, tree: ast.Module) -> None:
        self._imported: dict[str, set[str]] = defaultdict(set)
        self._defined: dict[str, ast.AST] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._defined[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self._defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
            for name, modules in _imports_in(node):
                self._imported[name] |= modules

    def used_by(self, node: ast.AST) -> set[str]:
        modules: set[str] = set()
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            current = waiting.pop()
            modules |= {
                module for inner in ast.walk(current) for _, found in _imports_in(inner) for module in found
            }
            names = {inner.id for inner in ast.walk(current) if isinstance(inner, ast.Name)} - seen
            seen |= names
            modules |= {module for name in names for module in self._imported.get(name, ())}
            waiting += [self._defined[name] for name in names if name in self._defined]
        return modules


def _sees(module: str, home: str) -> bool:
    """Whether fixtures of `home` are there for `module`: its own, and those of a conftest.py of its folder or above."""
    return module == home or (home.endswith(".conftest") and module.startswith(home.removesuffix("conftest")))


def _imports_in(node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Local name -> what it may be: the module, or a module inside the package that it is taken from."""
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            modules = {node.module, f"{node.module}.{alias.name}"}
            yield alias.asname or alias.name, modules | {above for one in modules for above in _above(one)}
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname or alias.name.split(".")[0]), {alias.name, *_above(alias.name)}


def _is_fixture(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        "fixture" in ast.unparse(decorator) for decorator in node.decorator_list
    )


def _is_autouse(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("autouse=True" in ast.unparse(decorator) for decorator in function.decorator_list)


def _asked_for(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that pytest would look up as fixtures, if this function is a test or a fixture."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    marks = {
        constant.value
        for decorator in function.decorator_list
        if "usefixtures" in ast.unparse(decorator)
        for constant in ast.walk(decorator)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    return {argument.arg for argument in arguments} | marks
