"""Fixtures shared by all tests: the golden values, the real data, the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: threads that wait for each other take their time
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are loaded

import numpy as np
import pytest
from pictures import write_photos

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"


# A run in the background of a shell has it ignored, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of torch before 2.9, ltfix takes no programs and no ONNX graphs (``ltfix.exporting.joined``)."""
    if tuple(map(int, version("torch").split(".")[:2])) < (2, 9):
        for item in items:
            if re.search("export|onnx", item.nodeid) and not re.search("-timm-|-torchvision-", item.nodeid):
                item.add_marker(pytest.mark.skip("torch is older than 2.9"))


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """``golden("pava")`` -> the tensors of tests/golden/pava.safetensors."""
    from safetensors.numpy import load_file

    return lambda name: load_file(GOLDEN / f"{name}.safetensors")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, features and weights; skips where it is absent."""
    folder = Path(os.environ.get("LTFIX_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("real data is not beside the checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def caltech(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caltech-101-small, unpacked: ``train/<class>/*.jpg``, ``test/<class>/*.jpg``."""
    folder = tmp_path_factory.mktemp("caltech")
    with tarfile.open(shared_data / "caltech101-small.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, nine training and six test images of 40 × 32 pixels."""
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def ltfix(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a real subprocess, in ``tmp_path`` unless ``cwd`` says otherwise."""

    def run(*argv: object, cwd: Path | None = None, env: dict[str, str] | None = None, **kw):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LTFIX_") or k == "LTFIX_EXTENSION"}
        return subprocess.run(
            [sys.executable, "-m", "ltfix", *map(str, argv)],
            cwd=cwd or tmp_path,
            env={**clean, "COLUMNS": "80", **(env or {})},
            capture_output=True,
            text=True,
            timeout=kw.pop("timeout", 240),
            **kw,
        )

    return run
