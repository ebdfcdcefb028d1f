"""Draw the map of a pose, as --preprocess pose does, from points: draw_pose.py pose.png"""

import sys

import numpy as np

from sdloop.pipeline.skeleton import skeleton

# COCO's points of somebody who waves: nose, eyes, ears, shoulders, elbows, wrists, hips, knees and
# ankles, always the person's left one first.
POINTS = [
    *((128, 46), (134, 40), (122, 40), (142, 44), (114, 44)),
    *((154, 78), (102, 78), (172, 112), (78, 58), (166, 146), (70, 22)),
    *((144, 150), (112, 150), (150, 192), (104, 192), (152, 236), (98, 236)),
]

skeleton(np.array([(x, y, 1) for x, y in POINTS], float), (256, 256)).save(sys.argv[1])
