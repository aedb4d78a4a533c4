"""LTFIX_EXTENSION unset, 0 and 1, each in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pava_cases import load

REPORT = "import sys, ltfix.kernel as p; print(p.IMPLEMENTATION, 'ltfix._pava' in sys.modules)"
HIDE = "import sys; sys.modules['ltfix._pava'] = None; "


def python(code: str, choice: str | None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "LTFIX_EXTENSION"}
    env |= {} if choice is None else {"LTFIX_EXTENSION": choice}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("choice", [None, "", "1"])
def test_takes_the_kernel_where_it_is_built(choice: str | None) -> None:
    load("ltfix._pava")
    assert python(REPORT, choice).stdout == "c True\n"


def test_zero_never_takes_it() -> None:
    assert python(REPORT, "0").stdout == "py False\n"


def test_unset_does_without_a_kernel() -> None:
    assert python(HIDE + REPORT, None).stdout.startswith("py ")


def test_one_demands_it() -> None:
    done = python(HIDE + REPORT, "1")
    assert done.returncode == 1
    assert "ImportError: LTFIX_EXTENSION=1 demands the C kernel" in done.stderr


@pytest.mark.skipif(os.scandir not in os.supports_fd, reason="on Windows it has not all")
def test_one_demands_all_of_it() -> None:
    old = "import sys, types, ltfix._pava as k; o = types.ModuleType('old'); o.pava = k.pava; "
    old += (
        "o.samn_scales = k.samn_scales; o.samn_pullback = k.samn_pullback; sys.modules['ltfix._pava'] = o; "
    )
    load("ltfix._pava")
    assert "demands the C kernel" in python(old + REPORT, "1").stderr
    assert python(old + REPORT, None).stdout == "c True\n"


def test_other_values_are_refused() -> None:
    assert "ImportError: LTFIX_EXTENSION must be unset, 0 or 1, not 'yes'" in python(REPORT, "yes").stderr


def test_numpy_needs_no_torch() -> None:
    code = "import sys, ltfix; ltfix.isotonic([2, 1]); sys.exit('torch' in sys.modules)"
    assert python(code, None).returncode == 0
