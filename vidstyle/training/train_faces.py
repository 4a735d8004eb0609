"""Train the bundled head that finds faces.

``python -m vidstyle.training.train_faces PHOTOS face_detection_full_range.tflite -o FILE``, where
PHOTOS is a folder or a tar file and the model is that of MediaPipe, see ``load_face_model``.
"""

import argparse
from pathlib import Path

import torch

from ..face_models import load_face_model
from ..features.face_head import FORMAT, VERSION, FaceDetector, bundled_network
from ..io.tensor_file import write_tensors
from ..progress import ProgressDisplay
from .face_photos import label, trial
from .faces import train_head
from .images import read_photos

STEPS = 10_000
"""Steps of the bundled head: half an hour on two cores."""

HELD_OUT = 6
"""Every sixth photograph is held out."""

TRIAL_PX = 384
"""Long side in px at which faces of held-out photographs are looked for."""

TRIAL_SCORES = 0.5, 0.7, 0.8, 0.9, 0.95


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    teacher = load_face_model(args.teacher)
    photos = []
    with ProgressDisplay("photograph", None) as display:
        for image in read_photos(args.photos):
            photos.append(label(image, teacher))
            display.show(len(photos))
    held_out = photos[::HELD_OUT]
    used = [photo for number, photo in enumerate(photos) if number % HELD_OUT]
    with ProgressDisplay("step", args.steps) as display:
        head = train_head(used, args.steps, report=display.show)
    # Kernels in half precision; biases and statistics are few.
    weights = {
        name: value.half() if value.ndim == 4 else value
        for name, value in head.state_dict().items()
        if value.dtype == torch.float32
    }
    write_tensors(args.output, weights, {"format": FORMAT, "version": VERSION})
    detector = FaceDetector(bundled_network(), head, TRIAL_PX)
    for score in TRIAL_SCORES:
        print(f"score {score}, held-out photographs: {trial(detector, held_out, score)}")


if __name__ == "__main__":
    main()
