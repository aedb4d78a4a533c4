"""The post-hoc steps of the method table: a classifier in, a classifier out, both in the fit's scaling.

Each is called with the classifier, the method's values, the training samples and the scaling they get.
"""

from __future__ import annotations

from ltfix.heads import posthoc
from ltfix.heads.head import Head
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Coordinates
from ltfix.stage2.methods.parts import Given


def tau_norm(head: Head, v: Given, data: Features, coordinates: Coordinates) -> Head:
    """Rows divided by a power of their norm."""
    return Head(*posthoc.tau_norm(head.weight, head.bias, v["tau"], keep_bias=v["bias"] == "keep"))


def logit_adjust(head: Head, v: Given, data: Features, coordinates: Coordinates) -> Head:
    """τ log prior subtracted from the bias."""
    return Head(*posthoc.logit_adjust(head.weight, head.bias, data.counts, v["tau"]))


def multiply_prior(head: Head, v: Given, data: Features, coordinates: Coordinates) -> Head:
    """Logits times a power of the prior."""
    return Head(*posthoc.multiply_prior(head.weight, head.bias, data.counts, v["tau"], v["form"]))


def nearest_class_mean(head: Head, v: Given, data: Features, coordinates: Coordinates) -> Head:
    """Class means of the samples; the classifier is not asked."""
    weight, bias, transform, tensors = posthoc.nearest_class_mean(
        lambda: data.blocks(coordinates), len(data.counts), data.dim, v["transform"], v["distance"]
    )
    return Head(weight, bias, transform=transform, tensors=tensors)
