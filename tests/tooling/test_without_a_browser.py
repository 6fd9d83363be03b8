"""A machine without a browser: said loudly, and not accepted where nothing may be skipped."""

import os
import subprocess
import sys

import pytest

from trading.config import PROJECT_ROOT

BROWSER_TESTS = "tests/app/test_in_browser.py"


def run_browser_tests(ci: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": "/nonexistent", "CI": ci}
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", BROWSER_TESTS]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_missing_browser_tests_are_named_with_a_remedy_and_fail_in_ci(ci: str, code: int) -> None:
    done = run_browser_tests(ci)
    assert done.returncode == code, done.stdout
    if ci:
        assert ".ci/run installs one" in done.stdout
    else:
        assert "THE BROWSER TESTS WERE NOT RUN" in done.stdout
        assert BROWSER_TESTS in done.stdout
        assert "apt-get install chromium" in done.stdout
