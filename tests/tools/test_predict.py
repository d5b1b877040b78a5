"""Prediction from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.errors import MissingFileError, UserError
from detr_d2.predict import Predictor
from detr_d2.tools.demo import main

from .conftest import Project


@pytest.mark.parametrize("kind", ["project", "panoptic_project"])
def test_the_picture_is_the_demos(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Project = request.getfixturevalue(kind)
    picture = Predictor(model.config, model.weights).draw(model.images[0], confidence=0.0)
    drawn = str(tmp_path / "drawn.png")
    arguments = ["--config-file", model.config, "--input", model.images[0], "--output", drawn]
    assert main([*arguments, "--weights", model.weights, "--confidence", "0"]) == 0
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(drawn)))


def test_a_lower_confidence_draws_more(project: Project) -> None:
    predictor = Predictor(project.config, project.weights)
    few, many = (np.asarray(predictor.draw(project.images[0], c)) for c in (1.0, 0.0))
    assert (few != many).any()


def test_what_is_not_there_is_said(project: Project) -> None:
    with pytest.raises(MissingFileError, match=r"COCO-Detection/detr_R_5\.yaml"):
        Predictor("COCO-Detection/detr_R_5.yaml")
    with pytest.raises(UserError, match="no weights were published"):
        Predictor("Shapes-Detection/detr_tiny.yaml")
    predictor = Predictor(project.config, project.weights)
    with pytest.raises(MissingFileError, match=r"none\.jpg"):
        predictor.draw("none.jpg")
    with pytest.raises(UserError, match="confidence"):
        predictor.draw(project.images[0], 1.5)
