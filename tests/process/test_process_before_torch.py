"""What numpy and the standard library can tell is told before torch, which takes seconds, is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from pictures import write_photos

import ltfix

PROGRAM = """
import contextlib, io, json, sys
from ltfix.cli import run
said = []
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(argv)
    said.append([code, err.getvalue()])
print(json.dumps(said))
"""
GOOD = "fit train.npz --method ce --out good.safetensors"
CASES = {
    "extract --backbone resnet18 --data nope": (3, "no such file or folder (nope)"),
    "extract --backbone resnet18 --data empty": (3, "(empty)"),
    "extract --backbone resnet18 --data list:gone.txt": (3, "2 of 2 images of train are not there"),
    "extract --backbone resnet18 --data photos --split nope": (3, "nope"),
    "extract --backbone resnet18 --data photos --augment flip": (2, "only random views are augmented"),
    "extract --backbone resnet18 --data photos --checkpoint no.pth": (3, "no such file or folder (no.pth)"),
    "extract --backbone resnet18 --data photos --checkpoint photos": (3, "is a folder or a device"),
    "extract --backbone resnet18 --data photos --checkpoint-key model": (2, "no checkpoint to read so"),
    "extract --backbone runs/nope --data photos": (3, "no such run folder (runs/nope)"),
    "extract --backbone photos/train --data photos": (3, "not a run folder"),
    "extract --backbone resnet18 --data photos --device gpu": (2, "unknown device 'gpu'"),
    "train-backbone --data nope": (3, "no such file or folder (nope)"),
    "train-backbone --data photos --recipe nope": (2, "unknown recipe"),
    "train-backbone --data photos --checkpoint no.pth": (3, "no such file or folder (no.pth)"),
    "fit": (3, "no training features (features/train)"),
    "fit torn.npz": (3, "(torn.npz)"),
    "fit train.npz --method smn": (2, "unknown method"),
    "fit train.npz --set nope=1": (2, "nope"),
    "fit train.npz --out head.safetensors": (2, "already there"),
    "fit train.npz --val narrow.npz": (3, "validation features have D = 3"),
    "fit train.npz --init torn.npz": (3, "(torn.npz)"),
    "fit train.npz --method logit-adjust --init random": (2, "these would be noise (--init)"),
    "fit train.npz --budget 5m": (2, "nothing is tuned"),
    "compare --train train.npz --test nope": (3, "no such feature cache (nope)"),
    "compare --train train.npz --test narrow.npz": (3, "test features have D = 3"),
    "compare --train train.npz --test train.npz --methods smn": (2, "unknown method"),
    "compare --train train.npz --test train.npz --fail-under nope=1": (2, "nope"),
    "sweep --train train.npz --method los --over delt=0.1,0.2": (2, "no value 'delt'"),
    "sweep --train nope --method los --over delta=0.1,0.2": (3, "no such feature cache (nope)"),
    "predict nope.safetensors --data photos": (3, "no such file or folder (nope.safetensors)"),
    "predict head.safetensors --data nope": (3, "nope"),
    "predict head.safetensors --data photos/train": (2, "of which backbone"),
    "predict head.safetensors --data narrow.npz": (3, "D = 4"),
    "predict head.safetensors --data photos/train --backbone resnet18 --checkpoint no.pth": (3, "(no.pth)"),
    "export nope.safetensors": (3, "no such file or folder (nope.safetensors)"),
    "export torn.npz --to onnx": (3, "(torn.npz)"),
    "export head.safetensors --to onnx --out x.pt2": (2, "is a .onnx file"),
    "export head.safetensors": (2, "of which backbone"),
    "export head.safetensors --backbone resnet18 --data nope": (3, "(nope)"),
    "calibrate head.safetensors": (3, "no val features"),
    "calibrate head.safetensors --val torn.npz": (3, "(torn.npz)"),
    "predict head.safetensors --data train.npz": (0, ""),
    GOOD: (70, "torch is blocked"),
}


def test_it_is_told_before_torch_is_imported(tmp_path: Path):
    said = dict(zip(CASES, run_blocked(tmp_path), strict=True))
    assert not {
        line: said[line] for line, (code, told) in CASES.items() if not is_told(said[line], code, told)
    }


def is_told(said: tuple[int, str], code: int, told: str) -> bool:
    return said[0] == code and told in said[1]


def run_blocked(folder: Path) -> list[tuple[int, str]]:
    """Exit code and stderr of every command line, all run by one interpreter that cannot import torch."""
    write_photos(folder / "photos")
    (folder / "empty").mkdir()
    (folder / "gone.txt").write_text("a.png 0\nb.png 1\n")
    labels = np.repeat([0, 1], 6)
    np.savez(folder / "train.npz", features=np.eye(2, 4)[labels], labels=labels)
    np.savez(folder / "narrow.npz", features=np.eye(2, 3)[labels], labels=labels)
    (folder / "torn.npz").write_bytes((folder / "train.npz").read_bytes()[:200])
    ltfix.Head(np.eye(2, 4), np.zeros(2), "mine").save(folder / "head.safetensors")
    (folder / "lib").mkdir()
    (folder / "lib" / "torch.py").write_text("raise ImportError('torch is blocked')")
    path = os.pathsep.join([str(folder / "lib"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([line.split() for line in CASES]),
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [(code, err) for code, err in json.loads(done.stdout)]
