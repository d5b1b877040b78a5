"""The trainer: Detectron2's ``DefaultTrainer`` with the parts that a DETR needs, and exact resume."""

from __future__ import annotations

import logging
import os
import secrets
import weakref
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ..checkpoint import warn_of_random_frozen_backbone
from ..classes import class_names
from ..compat import distributed
from ..data import build_detr_test_loader, build_detr_train_loader
from ..detectron2_keys import refuse_unsupported_keys
from ..errors import CheckpointError
from ..evaluation import build_evaluator
from ..evaluation.build import takes
from ..modeling.fast import fast
from ..modeling.precision import training_dtype
from .batch_norm import use_sync_batch_norm_of_cpu
from .data import check_data, data_facts, warn_of_other_data
from .default_hooks import default_hooks
from .early_stopping import StoppableLoop
from .ema import ModelEma
from .ending import keep_training_errors_off_the_console
from .evaluation import joined, prediction_pictures, validation_losses
from .failed_step import save_failed_step
from .optimizer import build_gradient_clipper, build_lr_scheduler, build_optimizer
from .recipe import resolve_recipe
from .seeding import draw_seed, seed_iteration
from .train_step import TrainStep
from .weights import build_checkpointer, load_frozen_weights, say_what_is_random
from .writers import default_writers

_LOGGER = logging.getLogger(__name__)


class DetrTrainer(DefaultTrainer, StoppableLoop):
    """Trains, evaluates and checkpoints what a config describes.

    Used as Detectron2's: ``trainer = DetrTrainer(cfg); trainer.resume_or_load(resume); trainer.train()``.
    Training k iterations, stopping in whatever way, and resuming gives on the CPU the same bits as
    never having stopped: a checkpoint holds weights, optimizer, schedule, gradient scaler, averaged
    weights, seed and iteration, and every random number and batch follows from seed and iteration.
    With SOLVER.EMA on, a checkpoint's ``model`` is the averaged weights, which are also what is
    evaluated; the raw ones are in the training state.

    Raises:
        ConfigError: a key of the config has a value that cannot be used.
    """

    def __init__(self, cfg: CfgNode):
        TrainerBase.__init__(self)  # DefaultTrainer's own would build other parts
        for name in ("detectron2", "detr_d2"):
            if not logging.getLogger(name).isEnabledFor(logging.INFO):
                setup_logger(name=name)
        refuse_unsupported_keys(cfg)
        cfg = resolve_recipe(self.auto_scale_workers(cfg, comm.get_world_size()))
        self.cfg = cfg
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.seed = draw_seed(cfg.SEED)
        self.run = secrets.randbits(62)  # tells the files of trainings in one folder apart
        self._datasets = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
        self._resumed_facts: dict[str, int] = {}

        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        self.ema = ModelEma(model, cfg.SOLVER.EMA.DECAY) if cfg.SOLVER.EMA.ENABLED else None
        self.checkpointer = build_checkpointer(
            cfg,
            model,
            self._datasets,
            cfg.OUTPUT_DIR,
            weights=self.ema.average if self.ema else None,
            trainer=weakref.proxy(self),
        )
        self._trainer = TrainStep(
            distributed(model) if comm.get_world_size() > 1 else model,
            optimizer,
            accumulation_steps=cfg.SOLVER.ACCUMULATION_STEPS,
            amp_dtype=training_dtype(cfg),
            clip_gradients=build_gradient_clipper(cfg),
            keep=partial(save_failed_step, cfg),
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the last checkpoint in OUTPUT_DIR if asked to and there is one, else load MODEL.WEIGHTS
        and, for all but the mask head, MODEL.DETR.FROZEN_WEIGHTS.

        Raises:
            MissingFileError: there is no such file.
            CheckpointError: the checkpoint cannot be used, or holds no training state.
        """
        check_data(self.cfg, self.build_evaluator)
        resumes = resume and self.checkpointer.has_checkpoint()
        if resume and not resumes:
            _LOGGER.info("%s holds no checkpoint to resume from: starting anew", self.cfg.OUTPUT_DIR)
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resumes and not self.start_iter:
            raise CheckpointError(
                f"cannot resume: {self.checkpointer.get_checkpoint_file()} holds no training state. Give it "
                "as MODEL.WEIGHTS, without --resume and with another OUTPUT_DIR"
            )
        if resumes:
            return
        if self.checkpointer.has_checkpoint():
            _LOGGER.warning(
                "%s holds another training, whose files are overwritten as this one goes on; --resume would "
                "have gone on with it",
                self.cfg.OUTPUT_DIR,
            )
        model, loaded = self.checkpointer.model, self.checkpointer.loaded
        if self.cfg.MODEL.DETR.FROZEN_WEIGHTS:
            loaded = loaded | load_frozen_weights(self.cfg, model)
        if self.ema is not None:
            self.ema.restart()
        warn_of_random_frozen_backbone(model, loaded)
        say_what_is_random(self.cfg, model, loaded)

    def train(self) -> dict[str, Any] | None:  # type: ignore[override]
        """Run the iterations from ``start_iter`` to ``max_iter``, or to where TEST.PATIENCE ends them, in
        Detectron2's loop.

        Returns:
            the last evaluation's results where TEST.EXPECTED_RESULTS is set, which they must meet.

        Raises:
            NonFiniteError: a loss or gradient is not finite; names images, and the file to replay the step.
        """
        check_data(self.cfg, self.build_evaluator)
        self.checkpointer.model.class_names = class_names(self._datasets).get("thing_classes")
        if self.start_iter < self.max_iter:
            self._trainer.read_from(self.build_train_loader(self.cfg, self.start_iter, self.seed))
            warn_of_other_data(self._resumed_facts, data_facts(self.cfg, self._trainer.data_loader))
        else:  # what came after the last iteration may not have come to its end
            _LOGGER.warning(
                "Nothing is left to train: all %d iterations of SOLVER.MAX_ITER are done", self.max_iter
            )
        keep_training_errors_off_the_console()
        results: dict[str, Any] | None = super().train()
        return results

    def after_train(self) -> None:
        """Let hooks close what they have open and, where the training came to its end, evaluate and save."""
        planned = self.max_iter
        if self.start_iter >= planned:  # nothing was left to train: Detectron2 is one too far
            self.iter = planned
        if self.iter < planned:
            _LOGGER.error("The training stopped in iteration %d of %d", self.iter, planned)
            self.max_iter += 1  # else a failure in the last iteration would be taken for the end
        try:
            super().after_train()
        finally:
            self.max_iter = planned

    def run_step(self) -> None:
        """One iteration, with random numbers that follow from the seed and its number."""
        seed_iteration(self.seed, self.iter)
        self._trainer.iter = self.iter
        self._trainer.run_step()
        if self.ema is not None:
            self.ema.update()

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks and ours, in the order in which they run."""
        return default_hooks(self.cfg, self.checkpointer, self.seed, self._evaluate, self.build_writers)

    def build_writers(self) -> list[EventWriter]:
        return default_writers(self.cfg, self.max_iter)

    def _evaluate(self) -> dict[str, Any]:
        """Results of the weights as they would be saved, with the losses if asked for; pictures are
        stored."""
        cfg, model = self.cfg, self.checkpointer.model
        with nullcontext() if self.ema is None else self.ema.applied():
            results = self._last_eval_results = self.test(cfg, self.model)
            losses = validation_losses(cfg, model) if cfg.TEST.LOSS and cfg.DATASETS.TEST else {}
            if not comm.is_main_process():
                return {}
            try:
                for name, picture in prediction_pictures(cfg, model):
                    self.storage.put_image(name, picture.transpose(2, 0, 1))
            except Exception:  # a picture ends no training
                _LOGGER.exception("Pictures of predictions were not drawn (TRACKING.PICTURES)")
        return joined(results, losses)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs besides the checkpoint's ``model``."""
        state = TrainerBase.state_dict(self)
        state["_trainer"] = self._trainer.state_dict()  # which v0.6 leaves out
        state["seed"] = self.seed
        state["run"] = self.run
        state["data"] = data_facts(self.cfg, self._trainer.data_loader)
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`, after the checkpoint's ``model`` was loaded.

        Raises:
            KeyError, ValueError: it is of another trainer, or of another configuration's optimizer.
        """
        self._resumed_facts = state["data"]
        TrainerBase.load_state_dict(self, state)
        self._trainer.load_state_dict(state["_trainer"])
        self.start_iter = self.iter + 1
        self.run = state.get("run", 0)
        if self.cfg.SEED < 0:
            self.seed = state["seed"]
        elif state["seed"] != self.cfg.SEED:
            _LOGGER.warning("SEED is %d, but the checkpoint has %d", self.cfg.SEED, state["seed"])
        averaged = state.get("ema")
        if self.ema is not None and averaged is not None:
            self.ema.load_state_dict(averaged)
        elif self.ema is not None:
            self.ema.restart()
            _LOGGER.warning("SOLVER.EMA is on, but the checkpoint has no average: averaging starts here")
        elif averaged is not None:
            self.checkpointer.model.load_state_dict(averaged["raw_model"])
            _LOGGER.warning("SOLVER.EMA is off: going on with the checkpoint's raw weights, not the averaged")

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Detectron2's ``build_model``, with one line on the model's size."""
        model = build_model(cfg)
        use_sync_batch_norm_of_cpu(model)
        total = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        name = cfg.MODEL.META_ARCHITECTURE
        _LOGGER.info("%s: %.2f million parameters, %.2f million trained", name, total / 1e6, trained / 1e6)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(
        cls, cfg: CfgNode, start_iter: int = 0, seed: int | None = None
    ) -> Iterable[list[dict[str, Any]]]:
        """An endless loader of micro-batches, from those of iteration ``start_iter`` on."""
        return build_detr_train_loader(cfg, start_iter=start_iter, seed=seed)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        return build_detr_test_loader(cfg, dataset_name)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: Sequence[DatasetEvaluator] | None = None
    ) -> dict[str, Any]:
        """As Detectron2's; a model that knows its ``class_names`` is compared with data sets by them.

        A ``Detr`` is called by way of :func:`~detr_d2.modeling.fast.fast`.
        """
        if evaluators is None:
            names = getattr(getattr(model, "module", model), "class_names", None)
            known = {"model_classes": names} if takes(cls.build_evaluator, "model_classes") else {}
            evaluators = [cls.build_evaluator(cfg, name, **known) for name in cfg.DATASETS.TEST]
        results: dict[str, Any] = super().test(cfg, fast(cfg, model), evaluators)
        return results

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, model_classes: Sequence[str] | None = None
    ) -> DatasetEvaluator:
        """The evaluator that the data set names; its files go to OUTPUT_DIR/inference."""
        folder = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name if len(cfg.DATASETS.TEST) > 1 else "")
        return build_evaluator(cfg, dataset_name, folder, model_classes)
