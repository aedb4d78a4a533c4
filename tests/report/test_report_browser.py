"""The page in a browser: nothing beside the window, no complaint; skipped where no Chromium is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from subjects import full

from ltfix.report.page import make_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# a headless window is never narrower than 500 pixels: the page stands in a frame
FRAME = """<!doctype html><iframe src="report.html" width="{width}" height="900" style="border:0"></iframe>
<script>onmessage = told => document.title = told.data;</script>"""
MEASURE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
  && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80));
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const size = `${document.documentElement.scrollWidth} of ${innerWidth}`;
parent.postMessage(`measured ${size} dark ${dark} ${wide.join("|")}`, "*");
</script></body>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = make_page(full(), name="a" * 60, commands=["ltfix fit --out " + "long/" * 60])
    path = tmp_path_factory.mktemp("page")
    (path / "report.html").write_text(text.replace("</body>", MEASURE), encoding="utf-8")
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_it_fits_and_nothing_is_complained_of(folder: Path, width: int, scheme: int, tmp_path: Path):
    (folder / "frame.html").write_text(FRAME.format(width=width))
    flags = "--headless --no-sandbox --disable-gpu --window-size=1500,1000 --enable-logging=stderr"
    more = f"--virtual-time-budget=3000 --blink-settings=preferredColorScheme={scheme}"
    argv = [*flags.split(), *more.split(), f"--user-data-dir={tmp_path}", "--dump-dom"]
    done = subprocess.run(
        [str(CHROMIUM), *argv, (folder / "frame.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r"<title>measured (\d+) of (\d+) dark (\w+) ([^<]*)</title>", done.stdout)
    assert found is not None, done.stderr[-500:]
    assert (int(found[2]), found[3]) == (width, str(scheme == 0).lower())
    assert int(found[1]) <= width, found[4]
    assert found[4] == ""
    assert ":CONSOLE" not in done.stderr
