"""Importing detr_d2 beside Detectron2 v0.6 and main, patched, unpatched or missing.

Where the order of imports matters a fresh Python is started. Small stand-ins for the two Detectron2s say
what happens in environments other than the one that the tests run in.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import detr_d2
from detr_d2 import compat

# isort: split
import detectron2

ROOT = Path(__file__).resolve().parent.parent

# main has a helper module for its optional dependencies, v0.6 has not: another sign than compat.py's.
IS_MAIN = (Path(detectron2.__file__).parent / "utils" / "develop.py").is_file()

V06 = {
    "__init__.py": "",
    "modeling/__init__.py": "import detectron2.layers.deform_conv, detectron2.data.transforms.transform",
    "layers/__init__.py": "",
    "layers/deform_conv.py": "from detectron2 import _C\n",
    "data/__init__.py": "",
    "data/build.py": "def histogram():\n    import numpy as np\n    return np.zeros(3, dtype=np.int)\n",
    "data/transforms/__init__.py": "",
    "data/transforms/transform.py": "from PIL import Image\ndef resize(interp=Image.LINEAR): return interp\n",
    "evaluation/__init__.py": "",
    "evaluation/coco_evaluation.py": "class COCOeval: pass\nclass COCOeval_opt: pass\n",
}
MAIN = {
    **V06,
    "layers/deform_conv.py": "try:\n    from detectron2 import _C\nexcept ImportError:\n    _C = None\n",
    "data/build.py": "",
    "data/transforms/transform.py": "",
}


def run_python(
    code: str, *arguments: str, path: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh Python that finds the packages in ``path`` before any others."""
    if path is not None:
        code = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"
    command = [sys.executable, *arguments, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=cwd or ROOT)


def write_package(folder: Path, files: dict[str, str]) -> Path:
    """Write a stand-in for Detectron2, and beside it a ``detr_d2`` that is compat.py alone."""
    for name, text in files.items():
        file = folder / "detectron2" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "detr_d2").mkdir()
    (folder / "detr_d2" / "__init__.py").write_text("from . import compat\n")
    (folder / "detr_d2" / "compat.py").write_text((ROOT / "detr_d2" / "compat.py").read_text())
    return folder


@pytest.fixture(scope="module")
def packages_without_detectron2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all installed packages but Detectron2, and of the detr_d2 under test."""
    folder = tmp_path_factory.mktemp("packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "detectron2" not in package.name and "detr_d2" not in package.name:
            (folder / package.name).symlink_to(package)
    (folder / "detr_d2").symlink_to(ROOT / "detr_d2")
    return folder


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_import_registers_and_does_nothing_else(tmp_path: Path) -> None:
    code = """
import detr_d2, json, os, torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from detr_d2.data import MAPPER_REGISTRY
shapes = {f"shapes_{s}{p}" for s in ("train", "val") for p in ("", "_panoptic")}
print(json.dumps({
    "model": "Detr" in META_ARCH_REGISTRY, "mapper": "DetrDatasetMapper" in MAPPER_REGISTRY,
    "data": shapes <= set(DatasetCatalog.list()), "cuda": torch.cuda.is_initialized(),
    "files": os.listdir(),
}))"""
    result = run_python(code, path=ROOT, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no warnings either
    assert json.loads(result.stdout) == {
        "model": True, "mapper": True, "data": True, "cuda": False, "files": []
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:pkg_resources")
@pytest.mark.parametrize(
    "part", ["engine", "evaluation", "model_zoo", "projects.point_rend", "utils.visualizer"]
)
def test_every_part_of_detectron2_imports_after_detr_d2(part: str) -> None:
    importlib.import_module(f"detectron2.{part}")


def test_detectron2_first_works_on_main_and_is_one_clear_sentence_on_v06() -> None:
    result = run_python("import detectron2\nimport detr_d2")
    if IS_MAIN or compat.has_compiled_ops():
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 1
    assert last_line(result.stderr).startswith("ImportError: detectron2 was imported before detr_d2")
    assert "`import detr_d2` before" in last_line(result.stderr)


def test_detectron2_that_failed_half_way_is_reported_like_one_imported_first(tmp_path: Path) -> None:
    code = """
try:
    import detectron2.modeling
except ImportError:
    import detr_d2"""
    result = run_python(code, path=write_package(tmp_path, V06))
    assert last_line(result.stderr).startswith("ImportError: detectron2 was imported before detr_d2")


def test_v06_works_when_detr_d2_comes_first(tmp_path: Path) -> None:
    code = """
import detr_d2, detectron2.modeling, PIL.Image
from detectron2.data.build import histogram
from detectron2.data.transforms.transform import resize
from detectron2.evaluation import coco_evaluation as e
assert resize() == PIL.Image.BILINEAR
assert histogram().dtype.kind == "i"
assert e.COCOeval_opt is e.COCOeval
assert not detr_d2.compat.has_compiled_ops()
from detectron2 import _C
try:
    _C.box_iou_rotated
except AttributeError as error:
    print(error)"""
    result = run_python(code, path=write_package(tmp_path, V06))
    assert result.returncode == 0, result.stderr
    assert "'box_iou_rotated'" in result.stdout
    assert "without compiled operators" in result.stdout


def test_order_does_not_matter_where_v06_needs_no_patches(tmp_path: Path) -> None:
    write_package(tmp_path, {**V06, "_C.py": "def box_iou_rotated(): pass\n"})
    code = """
import PIL.Image
PIL.Image.LINEAR = "of an old Pillow"
import detectron2.modeling
import detr_d2
from detectron2.evaluation import coco_evaluation as e
assert PIL.Image.LINEAR == "of an old Pillow"
assert detr_d2.compat.has_compiled_ops()
assert e.COCOeval_opt is not e.COCOeval"""
    result = run_python(code, path=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("first", ["detectron2", "detr_d2"])
def test_nothing_is_patched_for_main(tmp_path: Path, first: str) -> None:
    code = f"""
import sys, numpy, PIL.Image
before = set(vars(numpy)), hasattr(PIL.Image, "LINEAR")
import {first}
import detr_d2
assert (set(vars(numpy)), hasattr(PIL.Image, "LINEAR")) == before
assert "detectron2._C" not in sys.modules
assert not detr_d2.compat.has_compiled_ops()"""
    result = run_python(code, path=write_package(tmp_path, MAIN))
    assert result.returncode == 0, result.stderr


def test_missing_detectron2_is_one_clear_sentence(packages_without_detectron2: Path, tmp_path: Path) -> None:
    result = run_python("import detr_d2", "-E", "-S", path=packages_without_detectron2, cwd=tmp_path)
    assert last_line(result.stderr).startswith(
        "ImportError: detr_d2 needs Detectron2, which is not installed"
    )
    assert "make setup" in last_line(result.stderr)
    assert "pip install" in last_line(result.stderr)


def test_a_mere_folder_called_detectron2_is_named(packages_without_detectron2: Path, tmp_path: Path) -> None:
    (tmp_path / "detectron2").mkdir()  # as a clone of Detectron2 beside the script
    code = "import sys; sys.path.append('.')\nimport detr_d2"
    result = run_python(code, "-E", "-S", path=packages_without_detectron2, cwd=tmp_path)
    assert "finds only a folder of that name" in last_line(result.stderr)
    assert str(tmp_path / "detectron2") in last_line(result.stderr)


def test_numpys_own_bool_is_left_alone() -> None:
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("this NumPy has no bool of its own")
    assert np.bool is type(np.array([True])[0])


def test_v06_finds_the_names_that_numpy_and_pillow_removed() -> None:
    if IS_MAIN:
        pytest.skip("this Detectron2 does not use them")
    assert np.zeros(1, np.int).dtype.kind == "i"  # type: ignore[attr-defined]
    assert np.zeros(1, np.float).dtype.kind == "f"  # type: ignore[attr-defined]
    assert np.zeros(1, np.bool).dtype.kind == "b"
    assert np.zeros(1, np.object).dtype.kind == "O"  # type: ignore[attr-defined]
    assert np.zeros(1, np.str).dtype.kind == "U"  # type: ignore[attr-defined]
    assert PIL.Image.LINEAR == PIL.Image.BILINEAR  # type: ignore[attr-defined]


def test_environment_report_works_without_compiled_operators() -> None:
    from detectron2.utils.collect_env import collect_env_info

    report = collect_env_info()
    assert "Compiler" in report
    if not IS_MAIN and not compat.has_compiled_ops():
        assert "without compiled operators" in report


def test_stock_evaluator_runs_with_its_default_arguments(tmp_path: Path) -> None:
    """COCOEvaluator() uses compiled operators by default, which need not be there."""
    import torch
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.data.datasets import register_coco_instances
    from detectron2.evaluation import COCOEvaluator
    from detectron2.structures import Boxes, Instances

    box = [10.0, 20.0, 30.0, 40.0]  # x, y, width, height
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "bbox": box, "area": 1200, "iscrowd": 0}
    content = {
        "info": {},
        "images": [{"id": 7, "file_name": "7.png", "width": 100, "height": 100}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "thing"}],
    }
    (tmp_path / "one.json").write_text(json.dumps(content))
    register_coco_instances("compat_one", {}, str(tmp_path / "one.json"), str(tmp_path))
    try:
        DatasetCatalog.get("compat_one")  # fills in the metadata
        evaluator = COCOEvaluator("compat_one", output_dir=str(tmp_path))
        evaluator.reset()
        instances = Instances((100, 100))
        instances.pred_boxes = Boxes(torch.tensor([[10.0, 20.0, 40.0, 60.0]]))
        instances.scores = torch.tensor([0.9])
        instances.pred_classes = torch.tensor([0])
        evaluator.process([{"image_id": 7}], [{"instances": instances}])
        assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100.0)
    finally:
        DatasetCatalog.remove("compat_one")
        MetadataCatalog.remove("compat_one")


def test_version_is_a_version() -> None:
    assert [part.isdigit() for part in detr_d2.__version__.split(".")] == [True, True, True]
