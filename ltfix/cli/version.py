"""What ``ltfix --version`` prints; reads metadata, imports no torch."""

from __future__ import annotations

from importlib import metadata

from ltfix._version import __version__


def versions() -> str:
    """One line each for ltfix, torch, timm and the isotonic kernel in use (``c`` or ``py``)."""
    from ltfix.pava import IMPLEMENTATION

    lines = [f"ltfix {__version__}"]
    for name in ("torch", "timm"):
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} not installed")
    kernel = {"c": "C", "py": "Python (the C kernel is not in use)"}
    return "\n".join([*lines, f"isotonic kernel {kernel.get(IMPLEMENTATION, IMPLEMENTATION)}"])
