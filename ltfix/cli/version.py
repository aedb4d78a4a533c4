"""What ``ltfix --version`` prints; reads metadata, imports no torch."""

from __future__ import annotations

from importlib import metadata

from ltfix._version import __version__


def versions() -> dict[str, str]:
    """Those of ltfix, torch and timm, and the isotonic kernel in use (``c`` or ``py``)."""
    from ltfix.kernel import IMPLEMENTATION

    found = {"ltfix": __version__}
    for name in ("torch", "timm"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    kernel = {"c": "C", "py": "Python (the C kernel is not in use)"}
    return {**found, "isotonic kernel": kernel.get(IMPLEMENTATION, IMPLEMENTATION)}
