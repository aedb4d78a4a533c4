"""One ONNX graph: pixels in 0…1 to logits and probabilities, for any batch size."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from ltfix.errors import EnvironmentFault, InputError
from ltfix.exporting.joined import Joined
from ltfix.exporting.opened import Exported, described, metadata

OPSET = 18
_LIMIT = 2**31 - 1  # bytes: an ONNX file is one protobuf message


def write(joined: Joined, folder: Path) -> Path:
    """The graph, named inputs and outputs, with classes and preprocessing in its metadata."""
    _demand()
    module, example = joined.module(), joined.example(2)
    if sum(t.nbytes for t in module.state_dict().values()) > _LIMIT:
        raise EnvironmentFault(
            "an ONNX file holds at most 2 GiB", where="to=onnx", hint="use to=torch-export"
        )
    entry = "features" if joined.backbone is None else "pixels"
    with warnings.catch_warnings(action="ignore"):
        program: Any = torch.onnx.export(
            module,
            (example,),
            input_names=[entry],
            output_names=["logits", "probabilities"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    proto = program.model_proto
    for node in [*proto.graph.node, *(node for f in proto.functions for node in f.node)]:
        del node.metadata_props[:]  # the exporter's call stacks, with paths of this machine
    del proto.graph.metadata_props[:]
    for key, value in metadata(joined).items():
        proto.metadata_props.add(key=key, value=json.dumps(value, ensure_ascii=False))
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def load(path: Path, device: str) -> Exported:
    """An onnxruntime session on the CPU."""
    runtime = _demand()
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as err:
        raise InputError("not an ONNX file that onnxruntime can run, or a torn one", where=path) from err
    properties = session.get_modelmeta().custom_metadata_map
    try:
        meta = {key: json.loads(value) for key, value in properties.items()}
    except ValueError:
        meta = {}
    classes, preprocess = described(meta, path)
    entry = session.get_inputs()[0].name

    def run(batch: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(["logits"], {entry: batch.numpy()})[0])

    return Exported(path, "onnx", classes, preprocess, run)


def _demand() -> Any:
    """onnxruntime, with the packages beside it.

    Raises:
        EnvironmentFault: one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as err:
        raise EnvironmentFault(
            f"{err.name} is not installed", where="onnx", hint='pip install "ltfix[onnx]"'
        ) from err
    return onnxruntime


def usage(path: Path, joined: Joined) -> str:
    """A session of onnxruntime."""
    return f'onnxruntime.InferenceSession("{path}")'
