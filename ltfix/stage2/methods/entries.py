"""The built-in stage-2 methods: one entry each. To add a method, add an entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.stage2.methods.method import NOTHING, Method

_DECOUPLED = {"lr": 0.1, "weight_decay": 5e-4, "batch_size": 256, "epochs": 10}
_CLASS_AWARE = {**_DECOUPLED, "sampler": "class-aware"}
_LAS = {"eps_head": 0.4, "eps_tail": 0.1}
_WEIGHT_BALANCING = {"lr": 0.01, "weight_decay": 0.1, "epochs": 10}


def _untrained(
    name: str, summary: str, source: str, grid: Mapping[str, Sequence[Any]] = NOTHING, init: str = "stage1"
) -> Method:
    """The post-hoc step of that name, on the classifier as it is."""
    return Method(name, f"{summary}; no training", source, loss=None, posthoc=name, grid=grid, init=init)


METHODS = (
    Method(
        "ce",
        "linear head, cross-entropy: the linear probe, or stage 1 continued",
        "baseline; recipe of SAMN (CVPR 2026) and LOS (ICLR 2025)",
    ),
    Method(
        "samn",
        "row norms and bias gains learned under a monotone constraint (PAVA)",
        "SAMN, CVPR 2026; github.com/Zhangshuojackpot/SAMN",
        head="samn",
    ),
    Method(
        "samn+los",
        "SAMN's head against over-smoothed labels",
        "SAMN, CVPR 2026, with LOS, ICLR 2025",
        head="samn",
        loss="los",
        grid={"delta": (0.1, 0.5, 0.98)},
    ),
    Method(
        "samn+las",
        "SAMN's head with label-aware smoothing (SLAS+SAMN)",
        "SAMN, CVPR 2026, with MiSLAS's smoothing, CVPR 2021",
        head="samn",
        loss="las",
        defaults={"eps_head": 0.01, "eps_tail": 0.0},
    ),
    Method(
        "los",
        "label over-smoothing: cross-entropy against nearly uniform labels",
        "LOS, Sun et al., ICLR 2025; github.com/Thinklab-SJTU/LOS",
        loss="los",
        grid={"delta": (0.5, 0.9, 0.98)},
    ),
    Method(
        "crt",
        "classifier re-training: fresh linear head, class-aware sampling",
        "Kang et al., ICLR 2020 (Decoupling, cRT)",
        init="random",
        defaults=_CLASS_AWARE,
    ),
    Method(
        "re-sampling",
        "cross-entropy continued from stage 1, all classes drawn alike",
        "baseline of LOS, Sun et al., ICLR 2025 (Table 1)",
        defaults={"sampler": "class-balanced"},
    ),
    Method(
        "lws",
        "learnable weight scaling: one factor a class on frozen logits",
        "Kang et al., ICLR 2020 (Decoupling, LWS); the code scales the bias too",
        head="lws",
        defaults={**_CLASS_AWARE, "epochs": 5},
    ),
    _untrained(
        "tau-norm",
        "rows divided by a power of their norm",
        "Kang et al., ICLR 2020 (Decoupling, eq. 3)",
        grid={"bias": ("drop", "keep")},
    ),
    _untrained(
        "ncm",
        "nearest class mean",
        "Kang et al., ICLR 2020 (Decoupling, NCM)",
        init="class-mean",  # the classifier is not asked: no probe is fitted where none came with the cache
    ),
    _untrained(
        "logit-adjust",
        "log prior subtracted from the logits",
        "Menon et al., ICLR 2021 (eq. 9)",
        grid={"tau": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)},
    ),
    _untrained(
        "mult-la",
        "multiplicative logit adjustment: logits times a power of the prior",
        "EWB, Hasegawa & Sato, ICLR 2024; Kim & Kim, IEEE Access 2020",
    ),
    Method(
        "logit-adjusted-loss",
        "cross-entropy of logits plus log prior",
        "Menon et al., ICLR 2021 (eq. 10)",
        loss="logit-adjusted",
        grid={"tau": (0.5, 1.0, 1.5)},
    ),
    Method(
        "balanced-softmax",
        "cross-entropy of logits plus log counts",
        "Ren et al., NeurIPS 2020 (BALMS)",
        loss="balanced-softmax",
    ),
    Method(
        "vs",
        "vector scaling: logits divided by Δ_k, plus τ log prior",
        "Kini et al., NeurIPS 2021",
        loss="vs",
        defaults={"gamma": 0.2, "tau": 1.2},
        grid={"gamma": (0.05, 0.2), "tau": (0.5, 1.2)},
    ),
    Method(
        "cdt",
        "class-dependent temperatures: logits divided by Δ_k in training",
        "Ye et al. 2020",
        loss="vs",
        defaults={"gamma": 0.2, "tau": 0.0},
        grid={"gamma": (0.1, 0.2, 0.3)},
    ),
    Method(
        "lade",
        "balanced softmax with a penalty that estimates the uniform prior",
        "Hong et al., CVPR 2021",
        loss="lade",
    ),
    Method(
        "grw",
        "generalised re-weighting: classes weighted by a power of their inverse prior",
        "Zhang et al., CVPR 2021 (DisAlign, eq. 9)",
        loss="grw",
        grid={"rho": (0.5, 1.0, 1.2)},
    ),
    Method(
        "cb",
        "class-balanced cross-entropy by effective numbers",
        "Cui et al., CVPR 2019",
        loss="cb",
        instead={"form=bce": _WEIGHT_BALANCING},
        grid={"beta": (0.99, 0.999, 0.9999)},
    ),
    Method(
        "focal",
        "focal loss on the softmax",
        "Lin et al., ICCV 2017; the form of LDAM-DRW's code",
        loss="focal",
        grid={"gamma": (0.5, 1.0, 2.0)},
    ),
    Method(
        "maxnorm",
        "weight balancing's stage 2: MaxNorm, weight decay, class-balanced loss",
        "Alshammari et al., CVPR 2022; github.com/ShadeAlsha/LTR-weight-balancing",
        loss="cb",
        constraint="maxnorm",
        defaults={"form": "bce", **_WEIGHT_BALANCING},
        grid={"weight_decay": (0.001, 0.01, 0.1)},
    ),
    Method(
        "cosine",
        "cosine classifier with a learned scale",
        "Gidaris & Komodakis, CVPR 2018; LIFT, Shi et al., ICML 2024",
        head="cosine",
    ),
    Method(
        "margin-linear",
        "margins on plain logits, larger for rarer classes: LDAM without its cosine head",
        "baseline of LOS, Sun et al., ICLR 2025 (Table 1), after Cao et al., NeurIPS 2019",
        loss="margin-linear",
        grid={"max_margin": (0.5, 2.0, 5.0)},
    ),
    Method(
        "ldam",
        "label-distribution-aware margins on a cosine head",
        "Cao et al., NeurIPS 2019",
        head="cosine",
        loss="ldam",
        defaults={"cosine": "plain"},
        grid={"max_margin": (0.3, 0.5)},
    ),
    Method(
        "ldam-drw",
        "LDAM, re-weighted in the last fifth of the epochs",
        "Cao et al., NeurIPS 2019",
        head="cosine",
        loss="ldam",
        defaults={"cosine": "plain", "drw_from": 0.8},
        grid={"max_margin": (0.3, 0.5)},
    ),
    Method(
        "las",
        "label-aware smoothing over scaled logits, at one rate (the SLAS baseline)",
        "SAMN, CVPR 2026, after MiSLAS",
        head="scaled",
        loss="las",
        defaults=_LAS,
    ),
    Method(
        "mislas",
        "MiSLAS stage 2: label-aware smoothing, scaled logits, class-aware sampling",
        "Zhong et al., CVPR 2021; github.com/dvlab-research/MiSLAS",
        head="scaled",
        loss="las",
        defaults={**_CLASS_AWARE, **_LAS, "lr_factor": 0.2, "weight_decay": 2e-4, "batch_size": 128},
    ),
    Method(
        "disalign",
        "distribution alignment: logits rescaled and shifted where a confidence says so",
        "Zhang et al., CVPR 2021",
        head="disalign",
        loss="grw",
        defaults=_DECOUPLED,
        grid={"rho": (0.5, 1.0, 1.2)},
    ),
    Method(
        "causal",
        "causal classifier: the mean feature's direction is taken out at test",
        "Tang et al., NeurIPS 2020 (De-confound-TDE)",
        head="causal",
        init="random",
        defaults=_DECOUPLED,
        grid={"alpha": (0.0, 1.0, 3.0)},
    ),
    Method(
        "etf",
        "fixed simplex directions with a trained bias; only on a backbone trained with them",
        "EWB-FDR, Hasegawa & Sato, ICLR 2024",
        head="etf",
    ),
)
