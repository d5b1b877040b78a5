"""Package metadata. The tested versions of everything are in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Return ``__version__`` of detr_d2/__init__.py without importing it."""
    text = (ROOT / "detr_d2" / "__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("detr_d2/__init__.py has no line of the form __version__ = ...")
    return match.group(1)


def read_readme() -> str:
    readme = ROOT / "README.md"
    return readme.read_text("utf-8") if readme.is_file() else ""


# What Detectron2 itself needs at run time. Its own requirements are of 2021 and cannot be met by today's
# packages, so it is installed without them and they are listed here.
DETECTRON2_REQUIREMENTS = [
    "cloudpickle",
    "fvcore>=0.1.5,<0.1.6",
    "hydra-core>=1.1",
    "iopath>=0.1.7,<0.1.11",
    "matplotlib",
    "omegaconf>=2.1,<2.4",
    "opencv-python-headless",  # detectron2.utils.visualizer
    "packaging",
    "pycocotools>=2.0.2",
    "setuptools<81",  # pkg_resources, imported by detectron2.model_zoo
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
]

TEST_REQUIREMENTS = [
    "faster-coco-eval",
    "mypy",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "safetensors",
    "transformers",  # an independent DETR to compare with
]

setup(
    name="detr_d2",
    version=read_version(),
    author="The detr_d2 authors",
    description="DETR as a Detectron2 meta-architecture",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",  # 3.11 is tested; newer ones are not
    packages=[*find_packages(include=["detr_d2", "detr_d2.*"]), "detr_d2.configs"],
    # configs/ is the one home of the YAML files; installed, it is the folder detr_d2/configs.
    package_dir={"detr_d2.configs": "configs"},
    package_data={
        "detr_d2": ["py.typed"],
        "detr_d2.configs": ["*.yaml", "*/*.yaml"],
        "detr_d2.model_zoo": ["zoo.json"],
    },
    # The lower bounds of NumPy, Pillow, SciPy, torch and torchvision have been tried, together.
    # Detectron2 is needed too, but no package index has it under its own name, so pip could not find it:
    # `import detr_d2` says how to install it where it is missing.
    install_requires=[
        "fvcore>=0.1.5,<0.1.6",
        "iopath>=0.1.7,<0.1.11",
        "matplotlib",
        "numpy>=1.24",
        "Pillow>=9.1",
        "pycocotools>=2.0.2",
        "scipy>=1.10",
        "torch>=2.6",
        "torchvision>=0.21",
        "tqdm>4.29.0",
    ],
    extras_require={
        "detectron2": DETECTRON2_REQUIREMENTS,
        "fast-coco-eval": ["faster-coco-eval"],
        "huggingface": ["safetensors"],
        "test": TEST_REQUIREMENTS,
        "dev": [*DETECTRON2_REQUIREMENTS, *TEST_REQUIREMENTS],
    },
)
