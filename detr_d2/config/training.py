"""Keys of training and evaluation."""

from detectron2.config import CfgNode


def add_training_keys(cfg: CfgNode) -> None:
    # Training and evaluation

    # How many times the training goes through the images of DATASETS.TRAIN; it sets MAX_ITER. WARMUP_ITERS,
    # CHECKPOINT_PERIOD, TEST.EVAL_PERIOD and STEPS keep their shares of the training, but periods are whole
    # epochs, and 12, 50, 300 and 500 epochs have the published STEPS (after 11, 40, 200 and 400). What the
    # command line sets in iterations stays. 0: MAX_ITER counts.
    cfg.SOLVER.EPOCHS = 0
    # With EPOCHS: MAX_ITER is at least this, because a model that starts from scratch needs so many updates,
    # however few images there are; all else keeps its share of the training.
    cfg.SOLVER.MIN_ITER = 0
    # With EPOCHS: the learning rate falls after so many epochs; () is as said there.
    cfg.SOLVER.STEP_EPOCHS = ()
    # WARMUP_ITERS as a share of MAX_ITER; 0: WARMUP_ITERS counts.
    cfg.SOLVER.WARMUP_SHARE = 0.0
    # The batch that BASE_LR is for. Where IMS_PER_BATCH is another one, BASE_LR is multiplied by the square
    # root of their ratio, which keeps the noise of AdamW's steps as it was; with SGD by the ratio. 0: never.
    cfg.SOLVER.REFERENCE_BATCH = 0
    # Find, by trying, the largest batch that fits into the GPU's memory, in place of IMS_PER_BATCH; the
    # learning rate follows as with REFERENCE_BATCH (0: from IMS_PER_BATCH). --batch auto sets it.
    cfg.SOLVER.AUTO_BATCH = False
    # "ADAMW" or "SGD".
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    # Learning rate of the backbone = BASE_LR * this.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    # Weight decay of normalization layers; None decays them like all else, as in the published recipe.
    cfg.SOLVER.WEIGHT_DECAY_NORM = None
    # Type of the automatic mixed precision (SOLVER.AMP.ENABLED): "bfloat16" or "float16" (CUDA only). A CPU
    # without instructions for bfloat16 trains in float32, and says so.
    cfg.SOLVER.AMP.DTYPE = "bfloat16"
    # Each iteration sums the gradients of this many micro-batches; IMS_PER_BATCH is their sum.
    cfg.SOLVER.ACCUMULATION_STEPS = 1
    # How many of the checkpoints that SOLVER.CHECKPOINT_PERIOD writes are kept, the newest ones; 0 keeps all.
    cfg.SOLVER.CHECKPOINTS_KEPT = 0

    cfg.SOLVER.EMA = CfgNode()
    # Keep an exponential moving average of the weights; evaluated and saved in place of the raw ones.
    cfg.SOLVER.EMA.ENABLED = False
    # Share of the old average that each iteration keeps (less in the first iterations).
    cfg.SOLVER.EMA.DECAY = 0.9997

    # Images of a batch in evaluation. Those of one size go together, so that nothing is padded: results are
    # those of single images, up to rounding.
    cfg.TEST.IMS_PER_BATCH = 1
    # The metric that decides which checkpoint is kept as model_best.pth, as "task/metric"; "" keeps none.
    cfg.TEST.BEST_METRIC = "bbox/AP"
    # TEST.EVAL_PERIOD in epochs; 0: TEST.EVAL_PERIOD counts.
    cfg.TEST.EVAL_EPOCHS = 0
    # The training ends after so many evaluations in a row without a better TEST.BEST_METRIC; 0: at MAX_ITER.
    cfg.TEST.PATIENCE = 0
    # Each evaluation while training also computes the loss on DATASETS.TEST, without auxiliary supervision,
    # as val/total_loss and so on: it rises where a model learns its images by heart.
    cfg.TEST.LOSS = False
    # After a training that came to its end write report.html to OUTPUT_DIR, as `detr-d2 report` does.
    cfg.TEST.REPORT = True

    cfg.TRACKING = CfgNode()
    # Who gets metrics, pictures and config, beside metrics.json: some of "tensorboard", "wandb" (Weights &
    # Biases) and "mlflow". The last two are extras: pip install 'detr_d2[wandb]' or 'detr_d2[mlflow]'. Where
    # they write is set by their own variables, such as WANDB_MODE=offline and MLFLOW_TRACKING_URI; without
    # the latter MLflow's files go to OUTPUT_DIR/mlruns.
    cfg.TRACKING.WRITERS = ("tensorboard",)
    # Project of Weights & Biases, experiment of MLflow. A run is called as OUTPUT_DIR.
    cfg.TRACKING.PROJECT = "detr_d2"
    # At each evaluation while training so many images of the first data set of DATASETS.TEST are drawn, with
    # the predictions beside the annotations.
    cfg.TRACKING.PICTURES = 4
