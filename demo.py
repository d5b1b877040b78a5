"""Draw what a trained model finds in images.

python demo.py --config-file configs/….yaml --input a.jpg b.jpg --output out/ [--confidence 0.5]
               --opts MODEL.WEIGHTS model_final.pth MODEL.DEVICE cpu
"""

import sys

from detr_d2.tools.demo import main

if __name__ == "__main__":
    sys.exit(main())
