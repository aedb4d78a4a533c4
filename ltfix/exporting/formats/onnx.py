"""One ONNX graph: pixels in 0…1 to logits and probabilities, for any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ltfix import files
from ltfix.errors import EnvironmentFault, InputError, extra
from ltfix.exporting.joined import Joined, tracing
from ltfix.exporting.opened import ExportRecord, ToLogits
from ltfix.tensorfile import ltfix_metadata

OPSET = 18
_LIMIT = 2**31 - 1  # bytes: an ONNX file is one protobuf message


def write(joined: Joined, folder: Path) -> Path:
    """The graph with named inputs and outputs; the record lies in its metadata under ``ltfix``."""
    _demand()
    module = joined.module()
    if sum(tensor.nbytes for tensor in module.state_dict().values()) > _LIMIT:
        told = "an ONNX file holds at most 2 GiB"
        raise EnvironmentFault(told, where="to=onnx", hint="use to=torch-export")
    with tracing("onnx"):
        program: Any = torch.onnx.export(
            module,
            (joined.example(2),),
            input_names=["features" if joined.backbone is None else "pixels"],
            output_names=["logits", "probabilities"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    proto = program.model_proto
    for node in (*proto.graph.node, *(node for function in proto.functions for node in function.node)):
        del node.metadata_props[:]  # the exporter's call stacks, with paths of this machine
    del proto.graph.metadata_props[:]
    proto.metadata_props.add(key="ltfix", value=files.to_json(ExportRecord.of(joined).to_dict()))
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path


def load(path: Path, device: str) -> tuple[ExportRecord, ToLogits]:
    """A session of onnxruntime on the CPU."""
    runtime = _demand()
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as err:
        raise InputError("not an ONNX file that onnxruntime can run, or a torn one", where=path) from err
    record = ExportRecord.read(ltfix_metadata(session.get_modelmeta().custom_metadata_map, path), path)

    def run(batch: torch.Tensor) -> torch.Tensor:
        entry = session.get_inputs()[0].name
        return torch.from_numpy(session.run(["logits"], {entry: batch.numpy()})[0])

    return record, run


def _demand() -> Any:
    """onnxruntime, with the packages beside it; EnvironmentFault where one is missing."""
    with extra("onnx", "onnx"):
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    return onnxruntime


def usage(path: Path, joined: Joined) -> str:
    """A session of onnxruntime."""
    return f'onnxruntime.InferenceSession("{path}")'
