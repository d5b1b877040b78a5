"""Configs and published weights by name, as ``detectron2.model_zoo``; importing it registers ``detr://``."""

from ..checkpoint.zoo import ZooModel, register_weights, zoo_models
from .model_zoo import get, get_checkpoint_url, get_config, get_config_file

register_weights()

__all__ = ["ZooModel", "register_weights", "zoo_models"]
__all__ += ["get", "get_checkpoint_url", "get_config", "get_config_file"]
