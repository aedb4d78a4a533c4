"""The model card of an export: what the hub shows of a model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from ltfix._version import __version__
from ltfix.errors import LtfixError
from ltfix.evaluation.formats import to_markdown
from ltfix.evaluation.measure import evaluate, is_chosen
from ltfix.evaluation.shots import group
from ltfix.evaluation.table import Column, Table
from ltfix.exporting.joined import Joined
from ltfix.stage2.methods.registry import installed_method

_TAGS = ["image-classification", "timm", "long-tailed-recognition", "ltfix"]
_CARD = """\
---
{front}---

# An image classifier of {k} classes with a retrained last layer

The body is as it was; ltfix fitted the last layer anew, against the bias of long-tailed training data.

{facts}
## Accuracy

{accuracy}
## Use

```python
import timm

model = timm.create_model("hf-hub:USER/NAME", pretrained=True).eval()  # or "local-dir:PATH"
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
labels = model.pretrained_cfg["label_names"]
```
"""


def model_card(joined: Joined) -> str:
    """Markdown with YAML front matter in the hub's form.

    Accuracy by shot is that of the test features, of their first view where they have several.
    """
    from huggingface_hub import ModelCardData

    front = ModelCardData(
        library_name="timm", pipeline_tag="image-classification", tags=_TAGS, metrics=["accuracy"]
    )
    rows = [{"what": what, "is": text} for what, text in _facts(joined)]
    facts = to_markdown([Table((Column("what", ""), Column("is", "")), rows)])
    accuracy = _accuracy(joined)
    return _CARD.format(front=front.to_yaml() + "\n", k=joined.head.n_classes, facts=facts, accuracy=accuracy)


def _facts(joined: Joined) -> Iterator[tuple[str, str]]:
    head, info, meta = joined.head, joined.body().info, joined.head.meta
    tensors = f"SHA-256 of the body's tensors, not of the file: {info['weights_sha256']}"
    yield "body", f"{info['name']}, weights {info['weights']} ({tensors})"
    auto = meta["selection"].get("auto") if isinstance(meta.get("selection"), dict) else None
    averaged = isinstance(auto, dict) and auto.get("averaged")
    yield "method", f"{head.method}, averaged with the class means" if averaged else head.method
    method = installed_method(head.method)
    if method is not None:
        yield "what it does", method.summary
        yield "cite", method.source
    cache = joined.cache
    if cache is not None and cache.manifest is not None and meta.get("cache") in (None, cache.identity):
        source = cache.manifest.source
        yield "training data", f"{source.get('root')}, {source.get('split')} (listing {source.get('digest')})"
    if head.counts is not None:
        counts = head.counts
        size = f"{counts.sum()}, {counts.max()} to {counts.min()} a class. {group(counts).rule()}"
        yield "training samples", size
    if head.temperature is not None:
        found = " to ".join(f"{t:.3g}" for t in sorted({head.temperature.min(), head.temperature.max()}))
        told = meta.get("calibration")
        on = told.get("on") if isinstance(told, dict) else "samples that are not recorded"
        yield "temperature", f"{found}, chosen on {on}; logits are divided by it in the last layer"
    if selected := _told_selection(meta.get("selection")):
        yield "selected", selected
    for name, key in (("values", "values"), ("fitted with", "versions")):
        if meta.get(key):
            yield name, _told(meta[key])
    yield "exported with", f"ltfix {__version__}, timm {info['timm']}, torch {info['torch']}"


def _told_selection(found: Any) -> str:
    """By what, on what and how high it scored there, and what was chosen; not what was tried beside it."""
    if not isinstance(found, dict) or "by" not in found:
        return ""
    told = [f"by {found['by']}, on {found.get('on', 'samples that are not recorded')}"]
    for key, what in (("score", "{:.1%}"), ("start_score", "where it began {:.1%}"), ("epoch", "epoch {}")):
        if isinstance(found.get(key), float | int):
            told.append(what.format(found[key]))
    chosen = found.get("chosen")
    if isinstance(chosen, list) and chosen:
        told.append(f"chosen: {' and '.join(map(str, chosen))}")
    flatters = "; the choice was made there, which flatters it" if is_chosen(found) else ""
    return ", ".join(told) + flatters


def _told(values: Any) -> str:
    """What is set by name, without where each value came from."""
    if not isinstance(values, dict):
        return str(values)
    plain = {name: v.get("value") if isinstance(v, dict) else v for name, v in values.items()}
    return ", ".join(f"{name} {value}" for name, value in plain.items() if value is not None)


def _accuracy(joined: Joined) -> str:
    report, cache = None, joined.cache
    of_cache = cache is not None and joined.head.meta.get("cache") == cache.identity
    begun = (cache.head or cache.kept_probe()) if cache is not None and of_cache else None
    if joined.test is not None:
        with contextlib.suppress(LtfixError):  # features that this head does not fit
            heads = [joined.head] if begun is None else [begun, joined.head]
            report = evaluate(heads, joined.test, tta="first")
    if report is None:
        return "Not measured here.\n"
    report = dataclasses.replace(report, notes=())  # which are advice for `evaluate`
    tables = [dataclasses.replace(table, title="") for table in report.tables()]
    return f"In percent on {report.cache['n']} test samples.\n\n{to_markdown(tables)}"
