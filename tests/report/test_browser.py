"""The page in a browser, on a telephone and on a desk; where Chromium is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.report import write_report

from .conftest import Output

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_the_page_without_an_error(output: Output, tmp_path: Path, width: int) -> None:
    page = write_report(output.cfg, output.folder)
    frame, picture = tmp_path / "frame.html", tmp_path / "picture.png"
    # In a frame, because a window is no narrower than some 500 pixels.
    style = f'width="{width}" height="3000" style="border: 0"'
    frame.write_text(f'<body style="margin: 0; background: #ff00ff"><iframe src="{page}" {style}></iframe>')
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    command += [f"--window-size={width + 200},3000", f"--screenshot={picture}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert "CONSOLE" not in done.stderr, done.stderr
    seen = np.asarray(Image.open(picture).convert("RGB"))[:, :width].astype(int)
    assert (seen[:, -4:] == 255).all(), "the page ends before the frame does"
    assert 0.02 < (seen.min(-1) < 200).mean() < 0.6
