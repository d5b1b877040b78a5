"""The wheel: what is in it, what it asks for, and that it does alone what a clone does."""

from __future__ import annotations

import email
import hashlib
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest
import torch

from .checkpoint.file_server import serve
from .checkpoint.key_sets import published_checkpoint
from .test_packaging import read_requirements

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"^[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the repository, built from a copy and without network."""
    source = tmp_path_factory.mktemp("source")
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("detr_d2", "configs", "benchmarks", "docs", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md", "detr_d2_cli.py"):
        shutil.copy(ROOT / name, source)
    (source / "configs" / "Two").mkdir(exist_ok=True)
    (source / "configs" / "Two" / "deep.yaml").write_text("_BASE_: ../one.yaml\n")
    (source / "configs" / "one.yaml").write_text("VERSION: 2\n")

    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--wheel-dir", str(target)]
    command += ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(target.glob("detr_d2-*.whl"))


def test_wheel_holds_every_module_and_config(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "detr_d2").rglob("*.py")}
    expected |= {f"detr_d2/{p.relative_to(ROOT)}" for p in (ROOT / "configs").rglob("*.yaml")}
    expected |= {
        "detr_d2/py.typed",
        "detr_d2/model_zoo/zoo.json",
        "detr_d2/report/templates/report.html",
        "detr_d2/configs/one.yaml",
        "detr_d2/configs/Two/deep.yaml",
    }
    assert expected <= files
    # Nothing of benchmarks, docs, tests or top-level configs beside the package.
    assert {name.split("/")[0].split("-")[0] for name in files} == {"detr_d2", "detr_d2_cli.py"}
    suffixes = {Path(name).suffix for name in files if ".dist-info/" not in name}
    assert suffixes == {".py", ".typed", ".json", ".yaml", ".html"}


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel, that sees the other packages of this one.

    A file of paths is not looked for in folders that such a file names: the clone, which is installed so
    here, is not seen.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    folders = {key: sysconfig.get_path(key) for key in ("purelib", "platlib")}
    own = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    Path(own, "packages.pth").write_text("".join(f"{folder}\n" for folder in sorted(set(folders.values()))))
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", str(wheel)]
    subprocess.run([*command, "--no-deps", "--no-index", "--quiet"], check=True, timeout=280)
    return python


def run(command: Sequence[object], folder: Path, given: str = "", **more: str) -> str:
    """Standard output of a command that knows nothing of the clone."""
    known = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DETECTRON2_DATASETS")}
    result = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=known | more,
        input=given,
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# Downloads, converts and loads weights of the published names and shapes, for which others stand in.
USE_THE_ZOO = """
import sys
import detr_d2
from detr_d2 import model_zoo
from detr_d2.checkpoint.download import RemoteFile

print(detr_d2.__file__, model_zoo.get_config("COCO-Detection/detr_R_50.yaml").MODEL.RESNETS.DEPTH)
model_zoo.register_weights({"detr_R_50": RemoteFile(*sys.argv[1:])})
model = model_zoo.get("COCO-Detection/detr_R_50.yaml", trained=True, device="cpu")
print(model.class_embed.bias[-1].item())
"""


def test_an_installed_wheel_has_configs_and_published_weights(python: Path, tmp_path: Path) -> None:
    published = io.BytesIO()
    torch.save(published_checkpoint(50, panoptic=False), published)
    changed = {"FVCORE_CACHE": str(tmp_path), "DETR_D2_MIRROR": "", "no_proxy": "*"}
    with serve() as server:
        server.files["/detr/weights.pth"] = published.getvalue()
        digest = hashlib.sha256(published.getvalue()).hexdigest()
        command = [python, "-c", USE_THE_ZOO, f"{server.url}/detr/weights.pth", digest[:8]]
        place, values = run(command, tmp_path, **changed).splitlines()
    # The synthetic head's rows are filled with their numbers; the last one is no-object.
    assert (place.split()[1], values) == ("50", "91.0")
    assert Path(place.split()[0]).is_relative_to(python.parents[1])


def test_the_installed_command_is_there(python: Path, tmp_path: Path) -> None:
    assert "detr-d2 COMMAND" in run([python.with_name("detr-d2"), "--help"], tmp_path)


# Runs command lines in turn, as the script detr-d2 runs each: everything is imported once.
RUN_LINES = """
import shlex, sys
import detr_d2_cli
for line in sys.stdin:
    print("$", line, end="", flush=True)
    status = detr_d2_cli.main(shlex.split(line))
    if status:
        sys.exit(status)
import detr_d2
print(detr_d2.__file__)
"""
FEW = "SOLVER.MAX_ITER 2 SOLVER.IMS_PER_BATCH 2 SOLVER.AMP.ENABLED False DATALOADER.NUM_WORKERS 0"
LINES = f"""\
shapes --train 8 --val 4 --processes 1
check datasets/shapes/annotations/instances_val.json datasets/shapes/val --classes 3
check datasets/shapes
make-coco datasets/shapes --output coco --polygons
train --data datasets/shapes OUTPUT_DIR own TEST.EVAL_PERIOD 0 {FEW}
train --config-file Shapes-Detection/detr_tiny.yaml OUTPUT_DIR out TEST.EVAL_PERIOD 0 {FEW}
eval --config-file Shapes-Detection/detr_tiny.yaml --weights out/model_final.pth OUTPUT_DIR evaluated {FEW}
predict --config-file Shapes-Detection/detr_tiny.yaml --weights out/model_final.pth \
 --input 'datasets/shapes/val/*.jpg' --output found --confidence 0
draw --config-file Shapes-Detection/detr_tiny.yaml --weights out/model_final.pth --output drawn.png
plot out --output curves.png
compare out out/metrics.json --output comparison.png
report out
convert out/model_final.pth huggingface.pth --to huggingface
complexity --config-file Shapes-Detection/detr_tiny.yaml --size 128 128
make-coco datasets/shapes/annotations/panoptic_val.json --output boxes --boxes
zoo detr_R_50
""".replace("\\\n", "")


@pytest.mark.slow
def test_the_wheel_alone_does_all_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    output = run([python, "-c", RUN_LINES], tmp_path, LINES)
    assert Path(output.splitlines()[-1]).is_relative_to(python.parents[1])
    assert "detr://detr_R_50" in output
    for file in (
        "out/model_final.pth",
        "out/report.html",
        "huggingface.pth",
        "drawn.png",
        "curves.png",
        "comparison.png",
        "boxes/val.json",
    ):
        assert (tmp_path / file).is_file()
    assert len(list((tmp_path / "found").glob("*.jpg"))) == 4
    # The evaluation of the file is that of the training's end.
    last = json.loads((tmp_path / "out" / "metrics.json").read_text().splitlines()[-1])
    again = json.loads((tmp_path / "evaluated" / "inference" / "coco_instances_results.json").read_text())
    at_the_end = json.loads((tmp_path / "out" / "inference" / "coco_instances_results.json").read_text())
    assert "bbox/AP" in last
    assert again == at_the_end


def test_installed_configs_are_found_inside_the_package(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    folder = runpy.run_path(str(tmp_path / "detr_d2" / "paths.py"))["configs_folder"]()
    assert folder == tmp_path / "detr_d2" / "configs"
    assert (folder / "Two" / "deep.yaml").is_file()


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_metadata_asks_for_nothing_that_no_index_has(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    requirements = metadata.get_all("Requires-Dist") or []
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(line.startswith("torch>=") for line in requirements)
    assert not [line for line in requirements if "detectron2" in line.split(";")[0]]
    assert {"detectron2", "test"} <= set(metadata.get_all("Provides-Extra") or [])


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_of_the_package_has_one_tested_version(wheel: Path) -> None:
    pins = read_requirements("constraints.txt")
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line)] == []
    pinned = [normalize(line.split("==")[0]) for line in pins]
    assert len(pinned) == len(set(pinned))
    for line in metadata_of(wheel).get_all("Requires-Dist") or []:
        match = NAME.match(line)
        assert match is not None
        assert normalize(match.group()) in pinned
