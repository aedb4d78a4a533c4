"""Everything that a prediction can be told; neither numpy nor torch is needed to say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ltfix.exporting.request import BodyRequest
from ltfix.option import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictRequest(BodyRequest):
    """The options of a prediction, which are the command line's.

    Attributes:
        top: so many classes of each picture, the most probable first.
        abstain: below this probability a picture gets no label.
        on_error: "error" ends at an unreadable picture, "skip" leaves it out, "keep" gives it no label.
        split: which, where the pictures have several. columns: of a table, as `extract` has them.
        batch_size: pictures a batch; None fits it to device and picture size.
        workers: decoding threads; None is one a core.
        device, precision: where and in what the body is run.
    """

    top: int = option(1, "So many classes of each picture, the most probable first.", metavar="K", low=1)
    abstain: float | None = option(None, "No label below this probability.", metavar="P", low=0, high=1)
    on_error: str = option(
        "error",
        "At an unreadable picture: error, skip it, or keep a row without a label.",
        choices=("error", "skip", "keep"),
    )
    split: Sequence[str] = option((), "Of a source with several splits, this one.", metavar="NAME")
    columns: str | None = option(None, "Of a table: path=NAME; it needs no labels.", metavar="NAMES")
    batch_size: int | None = option(None, "Pictures a batch, or auto.", low=1, unset="auto")
    workers: int | None = option(None, "Decoding threads, or auto: one a core.", low=0, unset="auto")
    precision: str = option(
        "auto", "Of the body; auto: bf16 on a GPU that has it.", choices=("auto", "fp32", "bf16", "fp16")
    )
    device: str = "auto"
