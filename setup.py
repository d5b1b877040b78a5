"""What of the packaging needs code: configs/ is the one home of the YAML files, and a package in the wheel.

All else is in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["detr_d2", "detr_d2.*"]), "detr_d2.configs"],
    package_dir={"detr_d2.configs": "configs"},
)
