"""Files as no writer of ours writes them: strategies that change good ones, or make others of their kind."""

from __future__ import annotations

import copy
import io
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Any
Way = tuple[str | int, ...]
HUGE, DEEP, LARGE = "@@" + "9" * 5000 + "@@", "@@" + "[" * 300 + "]" * 300 + "@@", "@@1e999@@"
"""What json.dumps does not write: marked, and made raw by :func:`dump`."""
NUMBERS = [-1, 0, 1, 2, 3, 64, 4096, 1 << 31, 1 << 63, -(1 << 63), 10**30, 0.5, -1.5, 1e-300, 1e300]
WORDS = [
    "",
    "x",
    "ce",
    "l2",
    "float16",
    "../x",
    "/dev/zero",
    "/etc/passwd",
    "\0",
    "\n",
    "\x1b[31m",
    "\ud800",
    "é",
]
WORDS += ["ltfix-head/1", "ltfix-head/3", "ltfix-features/1", "0" * 64, "a" * 10_000, "=1+1", "nan", "1"]
plain = st.sampled_from([None, True, False, *NUMBERS, *WORDS, float("nan"), float("inf"), HUGE, DEEP, LARGE])
hostile = plain | st.lists(plain, max_size=3) | st.dictionaries(st.sampled_from(WORDS), plain, max_size=2)
"""JSON values that a reader may take for what it expects, and others."""


def ways(value: Any, way: Way = ()) -> Iterator[Way]:
    """The places of a JSON value, itself first."""
    yield way
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from ways(entry, (*way, key))


@st.composite
def edited(draw: Draw, value: Any) -> Any:
    """A JSON value with one to three of its places replaced, removed, doubled or grown."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(list(ways(value))))
        if not way:
            if draw(st.integers(0, 9)) == 0:
                value = draw(hostile)
            continue
        inside = value
        for key in way[:-1]:
            inside = inside[key]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "text", "grow"]))
        if kind == "replace":
            inside[way[-1]] = draw(hostile)
        elif kind == "remove":
            del inside[way[-1]]
        elif kind == "text":
            inside[way[-1]] = str(inside[way[-1]])
        elif isinstance(inside, list):
            inside.append(draw(hostile))
        else:
            inside[draw(st.sampled_from(WORDS))] = draw(hostile)
    return value


def dump(value: Any) -> bytes:
    """JSON text, its marked places raw."""
    return re.sub('"@@(.*?)@@"', r"\1", json.dumps(value)).encode("utf-8", "surrogatepass")


@st.composite
def broken(draw: Draw, data: bytes) -> bytes:
    """Bytes cut, flipped, doubled, or others altogether."""
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    byte = bytes([draw(st.integers(0, 255))])
    whole = [
        b"",
        data[:at],
        data[:at] + byte + data[at + 1 :],
        data + data,
        b"\xff" * 64,
        b"\xef\xbb\xbf" + data,
    ]
    return draw(st.sampled_from([*whole, data.replace(b"\n", b"\r\n"), b"\0" * at]))


@st.composite
def json_file(draw: Draw, data: bytes) -> bytes:
    if draw(st.integers(0, 7)) == 0:
        return draw(broken(data))
    return dump(draw(edited(json.loads(data))))


@st.composite
def json_lines(draw: Draw, data: bytes) -> bytes:
    """Lines of JSON, one of them changed."""
    lines = data.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = draw(json_file(lines[at]))
    return b"\n".join(lines) + draw(st.sampled_from([b"\n", b"", b"\n\n"]))


@st.composite
def safetensors_file(draw: Draw, data: bytes) -> bytes:
    """A safetensors file whose metadata, header, numbers or bytes are changed."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = draw(st.sampled_from(["ltfix", "ltfix", "ltfix", "header", "numbers", "bytes"]))
    said = header.get("__metadata__", {})
    if kind == "ltfix" and "ltfix" in said:
        said["ltfix"] = dump(draw(edited(json.loads(said["ltfix"])))).decode("utf-8", "replace")
    elif kind == "numbers":
        fill = draw(st.sampled_from([b"\xff", b"\0", b"\x7c", b"\x7f\x7f", b"\x80\x3f\0\0"]))
        start = draw(st.integers(0, len(body) // 4)) * 4
        size = draw(st.sampled_from([4, 64, len(body)]))
        body = body[:start] + (fill * size)[: len(body[start : start + size])] + body[start + size :]
    elif kind == "header":
        header = draw(edited(header))
    else:
        return draw(broken(data))
    text = dump(header)
    return struct.pack("<Q", len(text)) + text + body


def _array(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    kinds = ["f2", "f4", "f8", ">f4", "i1", "i8", "u8", "?", "c8", "U3", "S2", "M8[s]", "O", [("a", "f4")]]
    numbers = [0, 1, -1, 2, 1e5, 1e30, 1e-30, np.nan, np.inf, -np.inf]
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    values = np.resize(np.array(draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=4))), shape)
    with np.errstate(all="ignore"):
        try:
            found = values.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            found = np.zeros(shape, dtype)
    return np.asfortranarray(found) if draw(st.booleans()) else found


@st.composite
def npz_file(draw: Draw) -> bytes:
    """Archives of arrays of any type, shape and number under the names of a cache."""
    sizes = st.sampled_from([0, 1, 2, 6, 9])
    n, dim = draw(st.sampled_from([1, 6, 9])), draw(st.sampled_from([1, 4, 64]))
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"features": rng.normal(size=(n, dim)).astype("f4"), "labels": np.arange(n) % 3}
    for name in draw(
        st.sets(st.sampled_from(["features", "labels", "head.weight", "head.bias", "x"]), min_size=1)
    ):
        shape = (
            tuple(draw(st.lists(sizes, max_size=3)))
            if draw(st.booleans())
            else np.shape(arrays.get(name, [0] * 3))
        )
        arrays[name] = _array(draw, shape)
    out = io.BytesIO()
    draw(st.sampled_from([np.savez, np.savez_compressed]))(out, **arrays)
    return draw(broken(out.getvalue())) if draw(st.integers(0, 5)) == 0 else out.getvalue()


@st.composite
def pickle_file(draw: Draw, state: dict[str, Any]) -> bytes:
    """What ``torch.save`` writes of a state dict that was changed and put somewhere."""
    import argparse
    import warnings

    import torch

    whole, state = state, dict(state)
    for name in draw(st.lists(st.sampled_from(sorted(whole)), max_size=3)):
        value = whole[name]
        with warnings.catch_warnings(action="ignore"):
            changed = [
                None,
                3,
                "x",
                [value],
                value.double(),
                value.bool(),
                value.to(torch.complex64),
                value[None],
            ]
            changed += [
                value.to("meta"),
                value.to_sparse(),
                value * float("nan"),
                torch.zeros(1).expand(1 << 40),
            ]
            changed += [
                torch.empty(0),
                value.bfloat16(),
                value + 1e30,
                np.float64(1),
                argparse.Namespace(a=1),
            ]
        state[draw(st.sampled_from([name, "x", "module." + name, "\ud800", ""]))] = draw(
            st.sampled_from(changed)
        )
    content: Any = state
    for place in draw(
        st.lists(st.sampled_from(["state_dict", "model", "model_ema", "x", 3, "feat_model"]), max_size=3)
    ):
        content = {place: content, "epoch": draw(st.sampled_from([1, "last", None, [], {}]))}
    if draw(st.integers(0, 9)) == 0:
        content = draw(st.sampled_from([[], {}, None, 3, torch.zeros(2), [content], "x"]))
    out = io.BytesIO()
    torch.save(content, out)
    return draw(broken(out.getvalue())) if draw(st.integers(0, 5)) == 0 else out.getvalue()


@st.composite
def toml_file(draw: Draw, keys: list[str]) -> bytes:
    """Tables and values under names of options and others."""
    values = [
        "1",
        "-1",
        "1e9",
        '"x"',
        "true",
        "[]",
        "[0.5, 0.5, 0.5]",
        "{a = 1}",
        "1979-05-27",
        "nan",
        "inf",
        "''",
    ]
    values += [
        "9" * 5000,
        "[" * 300 + "]" * 300,
        '"\\u0000"',
        '["a", 1]',
        '""',
        "0x10",
        '"/dev/zero"',
        "x",
        "[[1]]",
    ]
    tables = [
        "",
        "[fit]",
        "[evaluate]",
        "[x]",
        "[fit.set]",
        "[[fit]]",
        "[a.b.c.d]",
        "[fit",
        "[inspect]",
        "[extract]",
    ]
    lines = []
    for _ in range(draw(st.integers(0, 5))):
        lines.append(draw(st.sampled_from(tables)))
        lines.append(f"{draw(st.sampled_from(keys))} = {draw(st.sampled_from(values))}")
    data = "\n".join(lines).encode()
    return draw(broken(data)) if draw(st.integers(0, 5)) == 0 else data


@st.composite
def list_file(draw: Draw, paths: list[str], between: list[str]) -> bytes:
    """Lines of a path and a label, or of what stands where they should."""
    words = [
        *paths,
        "gone.png",
        "../x",
        "/dev/zero",
        "/etc/passwd",
        "",
        ".",
        "train",
        "a" * 5000,
        "\0",
        "\udc80",
        "\x1b[31m",
    ]
    labels = [
        "0",
        "1",
        "2",
        "ant",
        "bee",
        "-1",
        "2.0",
        "1e9",
        "9" * 30,
        "nan",
        "",
        "٣",
        "0,1",
        "\0",
        "a b",
        "\udcff",
    ]
    lines = [
        draw(st.sampled_from(words)) + draw(st.sampled_from(between)) + draw(st.sampled_from(labels))
        if draw(st.integers(0, 2)) == 0
        else f"{draw(st.sampled_from(paths))}{between[0]}{draw(st.integers(0, 2))}"
        for _ in range(draw(st.integers(0, 6)))
    ]
    data = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines).encode("utf-8", "surrogateescape")
    head = draw(
        st.sampled_from([b"", b"", f"path{between[0]}label\n".encode(), b"\xef\xbb\xbf", b"# x\n", b"\n\n"])
    )
    return head + (draw(broken(data)) if draw(st.integers(0, 7)) == 0 else data)
