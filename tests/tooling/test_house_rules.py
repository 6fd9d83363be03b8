"""The rules of the house, each as a test: style, types, who may import whom, sizes, clocks, addresses."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trading.config import PROJECT_ROOT

BIN = Path(sys.executable).parent
PACKAGES = ("trading", "gateway", "assets", "pipelines", "app")
LINES_MAX = 500
LINES_MAX_OF_A_FUNCTION = 70
LINES_MAX_OF_A_PAGE = 80
# These run at the edge of the program, where real time comes in.
EDGES = ("trading/adapters/", "trading/processes/", "trading/cli.py")
PATIENT = {
    "trading/adapters/embedded/postgres.py", "trading/adapters/embedded/backup_restore.py",
    "trading/adapters/postgres/migrate.py", "trading/processes/command_backup.py",
}  # fmt: skip
REAL_TIME_AND_CHANCE = re.compile(
    r"^(datetime\.(datetime\.)?(now|utcnow|today)|(datetime\.)?date\.today|time\.(time|time_ns|localtime|gmtime)"
    r"|random\.(?!Random\b)\w+|(np|numpy)\.random\.(?!default_rng\b|Generator\b|SeedSequence\b|PCG64\b|Philox\b)\w+"
    r"|uuid\.uuid[14]|pd\.Timestamp\.(now|utcnow|today))$"
)
# Written in two halves, so that this file obeys its own rule.
DOWNLOAD_NAMES = (
    ("py", r"pi\.(org|python)"), ("python", "hosted"), ("-", "-index-url"), ("-", "-find-links"),
    ("npm", r"js\.(org|com)"), ("jsde", "livr"), ("unp", r"kg\.com"), ("cdn", "js"),
)  # fmt: skip
DOWNLOADS = re.compile("|".join(first + second for first, second in DOWNLOAD_NAMES))
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{36}")


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"\n{done.stdout}\n{done.stderr}"


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=PROJECT_ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [path for name in names if (path := PROJECT_ROOT / name).is_file()]


def sources() -> list[Path]:
    return tracked(*(f"{package}/**/*.py" for package in PACKAGES), *(f"{package}/*.py" for package in PACKAGES))


def relative(path: Path) -> str:
    return path.relative_to(PROJECT_ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def real_time_and_chance(source: str) -> list[tuple[int, str]]:
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
    names = [(node.lineno, dotted(node.func)) for node in nodes if isinstance(node, ast.Call)]
    # A parameter called `random` is a generator that somebody handed in, which is what the rule wants.
    return [(line, name) for line, name in names if name.split(".")[0] in modules and REAL_TIME_AND_CHANCE.match(name)]


def test_the_linter_finds_nothing() -> None:
    run(str(BIN / "ruff"), "check", "--quiet", ".")


def test_every_file_is_formatted() -> None:
    run(str(BIN / "ruff"), "format", "--check", "--quiet", ".")


@pytest.mark.timeout(600)
def test_the_types_hold() -> None:
    run(str(BIN / "mypy"))


def test_the_import_contracts_hold() -> None:
    run(str(BIN / "lint-imports"))


def test_no_source_file_is_longer_than_it_should_be() -> None:
    long = {relative(path): lines for path in [*sources(), *tracked("tests/*.py", "tests/**/*.py")]
            if (lines := len(path.read_text().splitlines())) > LINES_MAX}  # fmt: skip
    assert not long


def test_no_page_is_longer_than_it_should_be() -> None:
    long = {relative(path): lines for path in tracked("app/views/*.py", "app/views/**/*.py")
            if (lines := len(path.read_text().splitlines())) > LINES_MAX_OF_A_PAGE}  # fmt: skip
    assert not long


def test_no_function_is_longer_than_it_should_be() -> None:
    long = [
        f"{relative(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in sources()
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LINES_MAX_OF_A_FUNCTION
    ]
    assert not long


def test_time_and_chance_are_arguments_except_at_the_edges() -> None:
    found = [
        f"{relative(path)}:{line} {name}"
        for path in sources()
        if relative(path).startswith("trading/") and not relative(path).startswith(EDGES)
        for line, name in real_time_and_chance(path.read_text())
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\nx = datetime.now(UTC)",
        "import time\nx = time.time_ns()",
        "import random\nx = random.random()",
        "import numpy as np\nx = np.random.normal()",
        "import uuid\nx = uuid.uuid4()",
    ],
)
def test_the_rule_about_time_and_chance_sees(source: str) -> None:
    assert real_time_and_chance(source)


@pytest.mark.parametrize(
    "source",
    [
        "x = clock.now()",
        "def f(random):\n    return random.normal()",
        "import numpy as np\nx = np.random.default_rng(seed)",
        "import time\nx = time.monotonic()",
    ],
)
def test_the_rule_about_time_and_chance_allows(source: str) -> None:
    assert not real_time_and_chance(source)


def test_connections_to_the_database_hang_up_on_a_server_that_says_nothing() -> None:
    """But for those that begin or end with the server: they are made as `FloorConnection`."""
    waits = {relative(path) for path in sources() if re.search(r"\bpsycopg\.connect\(", path.read_text())}
    assert waits <= PATIENT, waits - PATIENT


def test_nothing_names_a_place_to_download_from() -> None:
    found = [
        f"{relative(path)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if DOWNLOADS.search(line)
    ]
    assert not found


def test_no_secret_is_in_the_repository() -> None:
    found = [relative(path) for path in tracked() if SECRET.search(path.read_text(errors="replace"))]
    assert not found
    assert not [relative(path) for path in tracked("data") if relative(path) != "data/inbox/.gitkeep"]


def test_every_requirement_is_pinned_to_one_version() -> None:
    for path in tracked("requirements*.txt"):
        for line in path.read_text().splitlines():
            assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,]+\])?==[A-Za-z0-9.+!-]+( ; .+)?|#.*|", line.strip()), line


def test_what_is_installed_fits_together() -> None:
    run(sys.executable, "-m", "pip", "check", "--disable-pip-version-check")


def test_dagster_is_configured_by_its_own_files_alone() -> None:
    assert "[tool.dagster]" not in (PROJECT_ROOT / "pyproject.toml").read_text()


def test_every_test_file_has_a_name_of_its_own() -> None:
    names = [path.name for path in (PROJECT_ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)), "pytest tells test modules apart by their file names"
