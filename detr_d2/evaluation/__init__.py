"""Evaluation of a model on registered data sets."""

from .build import build_evaluator, register_evaluator

__all__ = ["build_evaluator", "register_evaluator"]
