"""Claims on shared work: one owner at a time, and none that outlives its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ltfix import claims
from ltfix.claims import Claims


def test_one_owner_at_a_time(tmp_path: Path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a")
        assert not other.take("a")
        assert other.take("b")
        one.release("a")
        assert other.take("a")
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from ltfix import claims

def dying(name, after):
    def call(*given):
        if after:
            real(*given)
        os.kill(os.getpid(), 9)
    real = getattr(os, name)
    setattr(os, name, call)

if sys.argv[2] != "owner":
    dying("link", sys.argv[2] == "named")
claims.Claims(Path(sys.argv[1])).__enter__().take("a")
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs locks")
@pytest.mark.parametrize(("moment", "left"), [("draft", 1), ("named", 2), ("owner", 1)])
def test_a_killed_owner_lets_go_at_once(tmp_path: Path, moment: str, left: int):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment])
    assert done.returncode == -9
    assert len(list(tmp_path.glob(".claim-a*"))) == left
    with Claims(tmp_path) as mine:
        assert mine.take("a")
        mine.clear()
    assert list(tmp_path.iterdir()) == []


def test_where_locks_do_not_reach_a_claim_stands_while_its_time_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(claims, "try_lock", lambda handle: True)
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    path = tmp_path / ".claim-a"
    path.write_bytes(b"")  # another host's
    with Claims(tmp_path) as mine:
        for moment in range(0, 1000, 50):
            now[0] = float(moment)
            os.utime(path, ns=(moment, moment))
            assert not mine.take("a")
        now[0] += claims.LEASE + 1
        assert mine.take("a")
        assert path.read_bytes() == b"", "locks that do not work are not relied on"


def test_what_is_left_at_the_end_is_cleared(tmp_path: Path):
    (tmp_path / ".claim-shard-00001.safetensors").write_bytes(b"")
    with Claims(tmp_path) as mine:
        assert mine.take("publish")
        mine.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_is_cleared_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    really = claims.try_lock

    def cleared(handle: int) -> bool:
        monkeypatch.setattr(claims, "try_lock", really)
        Claims(tmp_path).clear()
        return True

    monkeypatch.setattr(claims, "try_lock", cleared)
    with Claims(tmp_path) as mine:
        assert mine.take("a")
    assert list(tmp_path.iterdir()) == []
