"""Config keys that detr_d2 adds to Detectron2's defaults.

The names under ``MODEL.DETR``, ``SOLVER.OPTIMIZER`` and ``SOLVER.BACKBONE_MULTIPLIER`` are those of
the official Detectron2 wrapper, so that its YAML files load. Default values are the published recipe
(Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, appendix A.4).
"""

from detectron2.config import CfgNode


def add_detr_config(cfg: CfgNode) -> None:
    """Add detr_d2's keys, with the published recipe as defaults, to ``cfg`` in place.

    Args:
        cfg: what ``detectron2.config.get_cfg()`` returns.
    """
    _add_model_keys(cfg)
    _add_data_keys(cfg)
    _add_solver_keys(cfg)


def _add_model_keys(cfg: CfgNode) -> None:
    cfg.MODEL.DETR = CfgNode()
    detr = cfg.MODEL.DETR

    # Model

    # Object classes, no-object not counted. At least as many as the data set has.
    detr.NUM_CLASSES = 80
    # How the rows of the class head are numbered in weights of the published DETR's code or Hugging Face's,
    # which do not tell: "as_is" (row i is class i), "category_ids" (by those of the data set, as that code
    # numbers them) or "coco" (by COCO's). "auto" takes COCO's where the file is a published one, or the data
    # set's classes are COCO's, and leaves what may be either way to you.
    detr.CLASS_ROWS = "auto"
    # Checkpoint (path or URI) of a detector to load and freeze while a mask head is trained on it.
    # Needs MODEL.MASK_ON; "" trains everything.
    detr.FROZEN_WEIGHTS = ""
    # Parts that keep the weights they start with: some of "backbone", "encoder" and "decoder" (each with what
    # leads into it); the heads always learn. For a few images and weights of like ones. Of a backbone,
    # MODEL.BACKBONE.FREEZE_AT freezes the first stages alone.
    detr.FREEZE = ()

    # Transformer

    # Channels of every token (d in the paper). Divisible by NHEADS and by 4.
    detr.HIDDEN_DIM = 256
    # Attention heads in every attention layer.
    detr.NHEADS = 8
    # Encoder layers; 0 feeds the projected features straight to the decoder.
    detr.ENC_LAYERS = 6
    # Decoder layers; each one is supervised when DEEP_SUPERVISION is on.
    detr.DEC_LAYERS = 6
    # Hidden channels of the feed-forward networks.
    detr.DIM_FEEDFORWARD = 2048
    # Dropout probability, in training, of attention weights, residual branches and feed-forward layers.
    detr.DROPOUT = 0.1
    # True normalizes before each sub-layer (and ends the encoder with a norm) instead of after it.
    detr.PRE_NORM = False
    # Position encoding of the feature map: "sine" (no parameters), "sine_centered" (the same, counted to the
    # centers of the cells, where a box with its center there is, too) or "learned" (up to 50 x 50 cells).
    detr.POSITION_EMBEDDING = "sine"
    # Ratio of the longest to the shortest wave of "sine". Smaller values tell near positions apart better.
    detr.POSITION_TEMPERATURE = 10000.0
    # Add the position encoding to the features as well, not only to the queries and keys of attention:
    # values then know where they are, which a model trained from scratch learns much earlier from.
    # False is published DETR.
    detr.POSITION_IN_CONTENT = False
    # Object queries: the largest number of detections in an image.
    detr.NUM_OBJECT_QUERIES = 100
    # How the queries attend to each other and to the image: one of detr_d2.modeling.DECODERS. "detr" is
    # published DETR's; "conditional" (Conditional DETR) lets each query look around a point of its own, and
    # converges sooner; so does "dab" (DAB-DETR), whose queries are boxes that each layer refines. "rpb"
    # refines boxes too, by DETR's attention with a bias for where a cell lies relative to the box (Plain
    # DETR).
    detr.DECODER = "detr"
    detr.RPB = CfgNode()
    # With "rpb": add the encoding of the box to what enters each layer, not only to queries and keys: a layer
    # that changes a box then knows it.
    detr.RPB.POSITION_IN_CONTENT = True
    detr.DAB = CfgNode()
    # With "dab" and "rpb": learn one vector that all queries start from, as DN-DETR does, in place of zeros.
    detr.DAB.LEARNED_CONTENT = False
    # As POSITION_TEMPERATURE, of the points or boxes of decoders that have them.
    detr.QUERY_TEMPERATURE = 10000.0
    # The backbone feature map that the transformer reads.
    detr.IN_FEATURE = "res5"
    # Further ones that are projected, resized to IN_FEATURE's cells and added to it: ("res3", "res5") beside
    # IN_FEATURE "res4" see small objects as a dilated last stage does, at less cost. () is published DETR.
    detr.FUSE_FEATURES = ()
    # With MODEL.MASK_ON: backbone feature maps that the mask head adds to its own, from coarse to fine, each
    # of a smaller stride than the one before. Masks have the stride of the last one.
    detr.MASK_FEATURES = ("res4", "res3", "res2")

    # Set criterion: weights of the terms of the loss

    # How classes are learned. "cross_entropy": one distribution over the classes and no-object, as published
    # DETR's. "focal": a probability for each class by itself, with the sigmoid focal loss; inference then
    # gives the TEST.DETECTIONS_PER_IMAGE best of all classes of all queries. Recipes of decoders that
    # converge early have it, with CLASS_WEIGHT 2 and COST_CLASS 2. Two more kinds of such probabilities learn
    # how well the box fits, by its IoU with the object: "position_supervised" (Stable-DINO) and
    # "matchability_aware" (DEIM).
    detr.CLASS_LOSS = "cross_entropy"
    detr.FOCAL = CfgNode()
    # With "focal": weight of the right class; the others have 1 minus this. The matching cost of
    # "position_supervised" and "matchability_aware" is the focal one, too, with ALPHA and GAMMA.
    detr.FOCAL.ALPHA = 0.25
    # With "focal" and "position_supervised": exponent that takes weight from what is right already.
    detr.FOCAL.GAMMA = 2.0
    # With "matchability_aware": a matched query's probability is to be its IoU to the power of this, which
    # takes weight from other answers, too.
    detr.MATCHABILITY_GAMMA = 1.5
    # What boxes are predicted as. "absolute": shares of the image, with the L1 distance of these, as in
    # published DETR. "relative" (Plain DETR): changes of the box of the layer before, in units of its size,
    # with the L1 distance of the changes in loss and matching cost; with a DECODER that refines boxes, and
    # with lower L1_WEIGHT and COST_L1 (there 1), since errors of small boxes count as much as of large ones.
    detr.BOX_REGRESSION = "absolute"
    # The class loss.
    detr.CLASS_WEIGHT = 1.0
    # L1 distance of normalized (cx, cy, w, h) boxes, or of what BOX_REGRESSION says.
    detr.L1_WEIGHT = 5.0
    # 1 - generalized IoU.
    detr.GIOU_WEIGHT = 2.0
    # Focal loss of the masks of the last decoder layer, with MODEL.MASK_ON.
    detr.MASK_WEIGHT = 1.0
    # Dice loss of the same masks.
    detr.DICE_WEIGHT = 1.0
    # True compares masks over the padded batch as published DETR does, False over each image alone.
    detr.MASK_LOSS_ON_PADDING = False
    # With "cross_entropy": weight of the no-object class inside it; the object classes have 1.
    detr.NO_OBJECT_WEIGHT = 0.1
    # True matches and supervises every decoder layer, False only the last one.
    detr.DEEP_SUPERVISION = True
    # What the losses are divided by. "joint": counts over all processes and accumulated micro-batches,
    # so that N processes or N micro-batches equal one large batch. "per_process": the published rule,
    # where the class loss is a weighted mean over each process's own micro-batch.
    detr.LOSS_NORMALIZATION = "joint"
    # Every this many iterations class error and cardinality error go to the event storage; 0 never.
    detr.METRICS_PERIOD = 20

    # Auxiliary supervision, in training alone (but for ENCODER.STARTS): models converge earlier

    # Which of detr_d2.modeling.AUXILIARIES; () is published DETR. "denoising" lets the decoder find objects
    # back whose classes and boxes have noise (DN-DETR): it learns to refine before it can find. "groups" has
    # more queries, in groups that are each matched by themselves (Group DETR). "encoder" lets the heads read
    # each object off the encoder's token at its center: helps models trained from scratch to find out where
    # to look.
    detr.AUXILIARY = ()
    detr.DENOISING = CfgNode()
    # With "denoising": how many times each object is denoised.
    detr.DENOISING.GROUPS = 5
    # With "denoising": probability that an object's class is replaced by any.
    detr.DENOISING.LABEL_NOISE = 0.2
    # With "denoising": a center moves by up to half of this share of the box, which grows or shrinks by up to
    # this share.
    detr.DENOISING.BOX_NOISE = 0.4
    detr.GROUPS = CfgNode()
    # With "groups": how many of NUM_OBJECT_QUERIES queries each, the one of inference counted.
    detr.GROUPS.NUM = 11
    detr.ENCODER = CfgNode()
    # With "encoder": weight of its losses.
    detr.ENCODER.LOSS_WEIGHT = 0.5
    # With "encoder" and a DECODER that refines boxes: how many of NUM_OBJECT_QUERIES start at the boxes that
    # the heads read off the encoder's tokens with most certainty, in inference too (two-stage DETR). The
    # others, and further groups, start from learned boxes.
    detr.ENCODER.STARTS = 0

    # Hungarian matching: weights of the terms of the cost

    # Minus the probability of the object's class; with "focal" what its loss would rise by, and so with the
    # two that learn how well boxes fit.
    detr.COST_CLASS = 1.0
    # L1 distance of normalized (cx, cy, w, h) boxes, or of what BOX_REGRESSION says.
    detr.COST_L1 = 5.0
    # Minus the generalized IoU.
    detr.COST_GIOU = 2.0

    # What inference gives

    detr.TEST = CfgNode()
    # "instances" in the results: a box, class and score for each query and, with MODEL.MASK_ON, a mask.
    # Of a panoptic model these are the queries whose class is a thing.
    detr.TEST.INSTANCE_ON = True
    # "panoptic_seg" in the results. Needs MODEL.MASK_ON and a data set with things and stuff.
    detr.TEST.PANOPTIC_ON = False
    # Instances of a lower score are left out. 0 keeps one for each query, as published DETR does, or all of
    # CLASS_LOSS "focal".
    detr.TEST.INSTANCE_SCORE_THRESHOLD = 0.0
    # A pixel belongs to an instance's mask where its probability is above this.
    detr.TEST.MASK_THRESHOLD = 0.5
    # Queries with a score up to this take no part in panoptic segmentation; with CLASS_LOSS "cross_entropy".
    detr.TEST.PANOPTIC_SCORE_THRESHOLD = 0.85
    # The same with "focal", whose scores are lower.
    detr.TEST.SIGMOID_PANOPTIC_SCORE_THRESHOLD = 0.3
    # Panoptic segments of so few pixels are left out.
    detr.TEST.PANOPTIC_MIN_AREA = 4
    # Type of the arithmetic in evaluation and prediction: "float32", or by mixed precision "bfloat16" or
    # "float16" (CUDA only), in less time where the device has it. A CPU that has not stays with float32, and
    # says so. Results differ: what AP loses should be looked at.
    detr.INFERENCE_DTYPE = "float32"
    # The mask head takes so many queries at a time, all images of a batch counted: bounds memory only.
    detr.TEST.MASK_CHUNK = 32

    # Detectron2's keys of the model with another default

    # Subtracted from the channels: ImageNet's mean, in INPUT.FORMAT's order, as published weights expect.
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    # Divides the channels then: ImageNet's standard deviation.
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    # Adds the mask head: masks of the objects, and panoptic segmentation.
    cfg.MODEL.MASK_ON = False


def _add_data_keys(cfg: CfgNode) -> None:
    # Data

    # Order of the channels; published weights expect RGB.
    cfg.INPUT.FORMAT = "RGB"
    # The largest image that is read: width times height. The default is Pillow's own limit; a larger file
    # may have been made to exhaust the memory.
    cfg.INPUT.MAX_IMAGE_PIXELS = 178_956_970
    # The value of 16-bit gray images that becomes white (255). 65535 uses all bits; 4095 fits cameras that
    # store 12 bits in 16.
    cfg.INPUT.WHITE_LEVEL = 65535
    # Looked up in detr_d2.data.MAPPER_REGISTRY.
    cfg.INPUT.DATASET_MAPPER_NAME = "DetrDatasetMapper"
    # Half of the training images are first resized to one of these shorter sides and cropped to
    # INPUT.CROP.SIZE (when INPUT.CROP.ENABLED), then resized like the other half. The longer side is at most
    # ten times as long: narrower images become smaller.
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (400, 500, 600)
    # How much training images are changed. "published": flipped, cropped where INPUT.CROP.ENABLED, resized.
    # "light": never cropped. "strong", against overfitting to few images: brightness, contrast and saturation
    # change too, and half of the images are cropped, where INPUT.CROP.ENABLED is not, to 60 to 100 % of each
    # side.
    cfg.INPUT.AUGMENTATION = "published"
    # A data set of your own, of any known format: a folder, or the json or data.yaml that it starts from. It
    # decides DATASETS.TRAIN and TEST, MODEL.DETR.NUM_CLASSES and, where they are too low,
    # MODEL.DETR.NUM_OBJECT_QUERIES and TEST.DETECTIONS_PER_IMAGE. --data of detr-d2 train sets it.
    cfg.DATASETS.PATH = ""
    # Data sets in COCO format to register by name: (name, annotation json, image folder) each.
    cfg.DATASETS.COCO_JSON = ()
    # The same in COCO's panoptic format: (name, panoptic json, image folder, folder of the maps) each.
    cfg.DATASETS.COCO_PANOPTIC = ()


def _add_solver_keys(cfg: CfgNode) -> None:
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
