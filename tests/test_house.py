"""The rules of the house, held by reading its own files (see docs/architecture.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

PURE = ("bench.plan", "bench.models", "bench.quantize", "bench.reference", "bench.stats", "bench.export")
EFFECTFUL = (
    *(
        "bench.browsers",
        "bench.harness",
        "bench.store",
        "bench.report",
        "bench.cli",
        "bench.bundle",
        "bench.engines",
    ),
    *("bench.models.fetch", "bench.models.catalog"),
)
# These two reach out by design: weights from packages and the hub, and the list that says from where.
REACHING_OUT = {"bench.models.fetch", "bench.models.catalog"}
# A vocabulary without any behaviour; its room's __init__ holds a sentence.
VOCABULARY = {"bench.harness", "bench.harness.outcome"}

# Broken on purpose, for those who test the harness: not in the wheel.
FAULTS = ("bench.faults", "bench.pages.faults")

MODULE_LINES = 400
FUNCTION_LINES = 60
LONG_FUNCTIONS: dict[str, str] = {}  # path:name -> why it may be longer
# Folders that git ignores or that hold no text of ours.
_NOT_OURS = {"node_modules", "__pycache__", "build", "dist", "results"}
_TEXT = {".py", ".js", ".ts", ".wgsl", ".md", ".toml", ".json", ".html", ".j2", ".css", ".mako", ".svg", ""}


def own_files() -> Iterator[Path]:
    """Every text file that is the project's; without git, which a fresh machine may lack."""
    for folder in (ROOT, *(path for path in sorted(ROOT.iterdir()) if path.is_dir())):
        if folder.name in _NOT_OURS or (folder.name.startswith(".") and folder.name != ".ci"):
            continue
        for path in sorted(folder.iterdir() if folder == ROOT else folder.rglob("*")):
            text = path.is_file() and path.suffix in _TEXT and path.name != ".git"  # a file in a worktree
            if text and not _NOT_OURS & set(path.parts[len(ROOT.parts) :]):
                yield path


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "bench").rglob("*.py"))}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of `bench` that loading or running `module` imports, not those for type checkers."""
    path = MODULES[module]
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & MODULES.keys()) | {str(node.module)}  # a package runs before its modules
        pending += ast.iter_child_nodes(node)
    return frozenset(name for name in found if name.split(".")[0] == "bench")


def reach(module: str) -> dict[str, str]:
    """Every module that `module` comes to import -> the module through which."""
    through: dict[str, str] = {}
    pending = [module]
    while pending:
        here = pending.pop()
        for name in imports(here) & MODULES.keys():
            if name not in through:
                through[name] = here
                pending.append(name)
    return through


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize(
    "module", [name for name in MODULES if within(name, PURE) and name not in REACHING_OUT]
)
def test_a_pure_room_imports_no_effectful_one(module: str) -> None:
    effectful = {
        name: through
        for name, through in reach(module).items()
        if within(name, EFFECTFUL) and name not in VOCABULARY
    }
    assert not effectful, f"{module} comes to import what reaches out (name: imported by)"


def test_the_product_imports_no_fault() -> None:
    """Whoever breaks things on purpose brings that along: the command line, where a flag asks for it."""
    bringers = {name for name in MODULES if within(name, ("bench.cli", "bench.faults"))}
    reaching = {
        name: through
        for name in MODULES.keys() - bringers
        if (through := {one: by for one, by in reach(name).items() if within(one, ("bench.faults",))})
    }
    assert reaching == {}
    importers = {
        name
        for name in MODULES
        if not within(name, ("bench.faults",))
        and any(within(one, ("bench.faults",)) for one in imports(name))
    }
    assert importers == {"bench.cli.faults"}


def test_the_import_check_sees_imports() -> None:
    """What it would take for the check above to fail is really seen: direct, in functions, through others."""
    assert "bench.models.fetch" in imports("bench.models.catalog")
    assert "bench.report.plots" in imports("bench.cli.report")
    assert "bench.browsers.chrome" in reach("bench.harness.run")
    assert "bench.harness.outcome" not in imports("bench.errors")


def test_nothing_imports_the_command_line() -> None:
    own = ("bench.cli", "bench.__main__")  # `python -m bench` is the command line by another name
    importers = [
        name
        for name in MODULES
        if not within(name, own) and any(within(one, ("bench.cli",)) for one in imports(name))
    ]
    assert importers == []


def test_modules_can_be_read_at_one_sitting() -> None:
    files = [path for path in (ROOT / "bench").rglob("*") if path.suffix in {".py", ".js", ".ts", ".wgsl"}]
    files.append(ROOT / "run_real_webgpu_webnn.py")
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_fit_a_screen() -> None:
    long = {}
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert set(long) == set(LONG_FUNCTIONS), f"longer than {FUNCTION_LINES} lines: {long}"


def test_every_shader_is_used() -> None:
    shaders = sorted((ROOT / "bench" / "shaders").glob("*.wgsl"))
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench" / "pages").rglob("*.js"))
    sources = "".join(path.read_text(encoding="utf-8") for path in shaders)
    unused = []
    for path in shaders:
        name, included = path.name.removesuffix(".wgsl"), path.name.endswith(".inc.wgsl")
        name = name.removesuffix(".inc")
        used = rf"//#include {name}\b" if included else rf"[\"'`]{name}[\"'`]"
        if not re.search(used, sources if included else pages):
            unused.append(path.name)
    assert shaders and unused == []


def test_no_file_names_a_package_registry() -> None:
    """A registry is whatever the reader's own pip, npm and apt are set to."""
    hosts = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com")]
    hosts += [("deb.debian", "org"), ("security.debian", "org"), ("yarnpkg", "com")]
    names = re.compile("|".join(re.escape(".".join(host)) for host in hosts))
    files = list(own_files())
    assert {ROOT / "Makefile", ROOT / "package-lock.json", ROOT / ".ci" / "run"} <= set(files)
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        for match in names.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


# Needed without an import of ours, and why.
UNIMPORTED = {
    "ipykernel": "the kernel that nbclient starts for a notebook",
    "mkdocs-material": "mkdocs.yml names it as the theme",
    "datasette": "run as a program by `bench explore`",
    "tabulate": "pandas writes Markdown with it",
    "psycopg": "SQLAlchemy loads it by the database's URL",
    "mypy": "run by `make lint`",
    "ruff": "run by `make lint`",
    "hatchling": "builds the wheel of test_the_wheel_holds_everything",
    "pandas-stubs": "types",
    "scipy-stubs": "types",
    "tzdata": "zoneinfo reads it where the system has no zones",
    "types-psutil": "types",
    "types-tabulate": "types",
    "pytest-timeout": "pytest loads it by itself",
    "pytest-xdist": "pytest loads it by itself",
}


def declared() -> set[str]:
    project = PROJECT["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = [re.match(r"[\w-]+", line) for line in lines]
    assert all(">=" in line for line in lines), "a dependency has no lower bound"
    return {match.group() for match in names if match}


def imported_packages() -> set[str]:
    """Top-level names that any Python file of ours imports, by `import_module` too."""
    found: set[str] = set()
    for path in own_files():
        if path.suffix == ".py":
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
            found |= set(re.findall(r"import(?:_module|orskip)\(\s*\"(\w+)", text))
    return found


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_every_dependency_is_used() -> None:
    used = {normal(name) for name in imported_packages()}
    unused = {name for name in declared() if normal(name) not in used} - UNIMPORTED.keys()
    assert unused == set()
    assert UNIMPORTED.keys() <= declared(), "an exception for what is no dependency any more"


def test_every_import_is_declared() -> None:
    homes = packages_distributions()
    known = {normal(name) for name in declared()} | {"webquant-bench"}
    local = {path.stem for path in own_files() if path.suffix == ".py"} | {"bench"}
    missing = {
        name
        for name in imported_packages() - local - sys.stdlib_module_names
        if normal(name) not in known and not {normal(home) for home in homes.get(name, [])} & known
    }
    assert missing == set()


def test_the_wheel_holds_everything(tmp_path: Path) -> None:
    """Pages, shaders, templates and migrations are inside: an installed package needs no checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "-w", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("run_real_webgpu_webnn.py") == (ROOT / "run_real_webgpu_webnn.py").read_bytes()
    files = [
        path for path in (ROOT / "bench").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    files = [path for path in files if not within(module_name(path), FAULTS)]
    assert not [name for name in names if "faults" in name and name != "bench/cli/faults.py"]
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    wanted |= {
        f"bench/_migrations/{path.relative_to(ROOT / 'migrations').as_posix()}"
        for path in (ROOT / "migrations").rglob("*")
        if path.suffix in {".py", ".mako"}
    }
    assert {"bench/pages/main.js", "bench/report/report.html.j2", "bench/shaders/add.wgsl"} <= wanted
    assert wanted - names == set()
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"bench", "run_real_webgpu_webnn.py"}, "something else went into the wheel"
