"""The one extension and its build switches; everything else is in pyproject.toml.

LTFIX_BUILD_NO_EXT=1   leave the C kernel out (the Python twin serves)
LTFIX_BUILD_STRICT=1   warnings are errors, and a failed compile fails the build (CI)
LTFIX_BUILD_SANITIZE=1 address and undefined-behaviour sanitizers (CI)
"""

import os
import sys
import sysconfig

from setuptools import Extension, setup

STRICT = os.environ.get("LTFIX_BUILD_STRICT") == "1"
SANITIZE = os.environ.get("LTFIX_BUILD_SANITIZE") == "1"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))  # abi3 does not load there
MSVC = sys.platform == "win32"

compile_args = ["/O2"] if MSVC else ["-O2", "-std=c11"]
link_args: list[str] = []
if STRICT and not MSVC:
    compile_args += ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
if SANITIZE:
    compile_args += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    link_args += ["-fsanitize=address,undefined"]

kernel = Extension(
    "ltfix._pava",
    ["ltfix/_pava.c", "ltfix/_samn.c", "ltfix/_look.c"],
    depends=["ltfix/_buffers.h", "ltfix/_pool.h", "ltfix/_samn.h", "ltfix/_look.h"],
    libraries=[] if MSVC else ["m"],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x030B0000")],
    py_limited_api=not FREE_THREADED,
    optional=not STRICT,
)

setup(
    ext_modules=[] if os.environ.get("LTFIX_BUILD_NO_EXT") == "1" else [kernel],
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
