#!/usr/bin/env python
"""Train or evaluate: ``python train_net.py --config-file configs/….yaml [--eval-only] KEY VALUE …``."""

import sys

from detr_d2.tools.train import main

if __name__ == "__main__":
    sys.exit(main())
