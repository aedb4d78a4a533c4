"""Tests of files without permission run as root too, in a process that has given up what root may."""

from __future__ import annotations

import ctypes
import os


def without_rights() -> None:
    """In a new process of root: the program that it becomes may read and write what root owns, no more."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        kernel = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if kernel.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "prctl")
