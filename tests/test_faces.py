"""Faces, whose eyes and mouths keep more of the content."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from conftest import painter, scene, write_clip
from onnx_file import write_onnx

import vidstyle as vs
import vidstyle.api_masks
import vidstyle.faces
import vidstyle.job
from vidstyle import FeaturesError, Frame, Settings
from vidstyle.face_models import BLAZEFACE_CELLS, BLAZEFACE_PX, decode_blazeface, load_face_model
from vidstyle.faces import LOOKS_PER_SECOND, WINDOW_FRAMES, FaceMasks, drawn, frame_with_faces
from vidstyle.features.face_head import (
    CELL_PX,
    COARSE_LAYER,
    FINE_LAYER,
    Detection,
    FaceDetector,
    bundled_network,
    distinct,
    eye_distance,
    read_face_head,
)
from vidstyle.io.tensor_file import write_tensors
from vidstyle.job import RenderJob
from vidstyle.losses.content import EMPHASIS_GAIN, TEXT_GAIN
from vidstyle.ops.tensors import to_tensor
from vidstyle.training.face_photos import Face, Photo, label, trial
from vidstyle.training.faces import cell_targets, train_head

FACE = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]], np.float32)
"""Two eyes and a mouth."""

GRAY = np.full((60, 100, 3), 128, np.uint8)


def test_mask_of_a_face_covers_eyes_and_mouth_most():
    mask = drawn([FACE], (100, 60)).astype(int)
    assert mask.shape == (60, 100)
    cheek = mask[34, 37]
    assert cheek > 0 and min(mask[24, 40], mask[24, 60], mask[36, 50]) > 2 * cheek
    assert mask[0, 0] == 0 and mask[24, 95] == 0 and mask[59, 99] == 0
    assert not drawn([], (100, 60)).any()


def test_mask_of_a_large_face_is_fainter_than_that_of_a_small_one():
    levels = [drawn([0.5 + scale * (FACE - 0.5)], (400, 400)).max() for scale in (1, 0.3, 0.2)]
    assert 40 < levels[0] < levels[1] < levels[2] and levels[2] > 240


def masks_of(looks):
    """Whether the mask of each frame shows a face, given what each look finds."""
    rest = list(looks)
    masks = FaceMasks(lambda image: rest.pop(0))
    return [masks.mask_of(Frame(GRAY)).any() for _ in looks]


def test_face_that_was_found_twice_stays_for_some_frames():
    looks = [[FACE], [FACE + 0.01], *[[]] * WINDOW_FRAMES]
    # When the first of both has left the window, one is too few.
    assert masks_of(looks) == [True] * WINDOW_FRAMES + [False] * 2


def test_face_that_is_found_once_does_not_stay():
    assert masks_of([[], [FACE], []]) == [False, True, False]


def test_mask_of_a_face_moves_with_it_and_another_one_appears():
    looks = [[FACE], [FACE + 0.02, FACE + np.array([0.35, 0.2], np.float32)]]
    masks = FaceMasks(lambda image: looks.pop(0))
    masks.mask_of(Frame(GRAY))
    expected = drawn(list(looks[0]), (100, 60))
    assert np.array_equal(masks.mask_of(Frame(GRAY)), expected)


def test_faces_are_looked_for_some_times_a_second():
    looks = []
    masks = FaceMasks(lambda image: looks.append(1) or [FACE])
    for number in range(60):
        assert masks.mask_of(Frame(GRAY, Fraction(number, 60))).any()
    assert len(looks) == LOOKS_PER_SECOND
    masks.mask_of(Frame(GRAY // 4, Fraction(1)))  # a cut
    assert len(looks) == LOOKS_PER_SECOND + 1


def test_masks_of_faces_forget_the_shot_before_a_cut():
    found = [[FACE], [FACE], []]
    masks = FaceMasks(lambda image: found.pop(0))
    for _ in range(2):
        masks.mask_of(Frame(GRAY))
    assert not masks.mask_of(Frame(GRAY // 4)).any()


def test_mask_of_faces_depends_on_the_last_frames_alone():
    random = np.random.default_rng(3)
    moved = [FACE + random.normal(0, 0.02, FACE.shape).astype(np.float32) for _ in range(60)]
    frames = [Frame(np.full((60, 100, 3), 100 + n, np.uint8), Fraction(n, 30)) for n in range(60)]

    def model(image):
        number = int(image[0, 0, 0]) - 100
        return [moved[number]] if number % 4 else []

    def last_mask(start, end):
        masks = FaceMasks(model)
        return [masks.mask_of(frame) for frame in frames[start:end]][-1]

    memory = FaceMasks(model).memory_frames
    for end in range(40, 60):
        assert np.array_equal(last_mask(0, end), last_mask(end - 1 - memory, end))


def test_blazeface_is_decoded_with_one_detection_for_each_face():
    count = BLAZEFACE_CELLS**2
    scores, positions = np.full((count, 1), -9, np.float32), np.zeros((count, 16), np.float32)
    row, column = 20, 30
    for number in (row * BLAZEFACE_CELLS + column, row * BLAZEFACE_CELLS + column + 1):
        scores[number] = 3
        positions[number, 2:4] = 40  # width and height in px
        positions[number, 4:8] = -10, -8, 10, -8  # eyes
        positions[number, 10:12] = 0, 12  # mouth
    scores[row * BLAZEFACE_CELLS + column] = 4
    (face,) = decode_blazeface(scores, positions)
    anchor = np.array([column + 0.5, row + 0.5]) / BLAZEFACE_CELLS
    offsets = np.array([[-10, -8], [10, -8], [0, 12]]) / BLAZEFACE_PX
    assert np.allclose(face, anchor + offsets)
    assert decode_blazeface(scores - 9, positions) == []


def test_file_that_is_no_model_of_faces_is_named_with_a_remedy(tmp_path):
    other = write_onnx(tmp_path / "other.onnx", [[1.0, 0, 0]], [0.0], (64, 64))
    (tmp_path / "text.tflite").write_text("no model")
    for name in (other, tmp_path / "text.tflite"):
        with pytest.raises(FeaturesError, match=r"is no model of faces: give YuNet"):
            load_face_model(name)
    with pytest.raises(FeaturesError, match="does not exist"):
        load_face_model(tmp_path / "gone.onnx")


def test_emphasis_multiplies_the_weight_of_the_content_where_it_is(features, style):
    emphasis = np.zeros((48, 64), np.uint8)
    emphasis[:, :32] = 255
    targets = []
    for mask in (None, emphasis):
        paint = painter(features, style)
        paint(Frame(scene(), emphasis=mask))
        targets.append(paint.objective(to_tensor(scene())).target("content"))
    for layer, plain in targets[0].items():
        ratio = targets[1][layer].weight_map / plain.weight_map
        half = ratio.shape[-1] // 2
        assert torch.allclose(ratio[..., half + 1 :], torch.ones(1))
        assert (ratio[..., : half - 1] > 1 + 0.9 * EMPHASIS_GAIN / (1 + TEXT_GAIN)).all()
    with pytest.raises(ValueError, match="emphasis must be a uint8 array"):
        Frame(scene(), emphasis=emphasis[:5])


@pytest.fixture
def found(monkeypatch):
    """The paths with which models are loaded, all of which find ``FACE``."""
    paths = []

    def load(path=None, still=False):
        paths.append((path, still))
        return lambda image: [FACE]

    for module in (vidstyle.job, vidstyle.api_masks, vidstyle.faces):
        monkeypatch.setattr(module, "load_face_model", load)
    return paths


def test_job_keeps_faces_at_the_default(tmp_path, found, picture_file):
    clip = write_clip(tmp_path / "in.mkv", count=2, rate=Fraction(10))
    model = tmp_path / "faces.tflite"
    model.write_text("faces")
    for name in (clip, picture_file):
        with RenderJob(name, "out.mkv", face_model=model).open_source() as source:
            assert all(frame.emphasis[19, 25] > 40 for frame in source)
        with RenderJob(name, "out.mkv", faces="paint").open_source() as source:
            assert all(frame.emphasis is None for frame in source)
    assert found == [(model, False), (model, True)]
    job = RenderJob(clip, "out.mkv", face_model=model)
    before = job.identity(Settings())
    assert replace(job, faces="paint", face_model=None).identity(Settings()) != before
    model.write_text("other faces")
    assert job.identity(Settings()) != before


def test_images_in_memory_keep_their_faces_at_the_default(found, monkeypatch):
    seen = []
    monkeypatch.setattr(
        vidstyle.Stylizer, "__call__", lambda self, frame, *_, **__: seen.append(frame) or frame
    )
    vs.stylize(GRAY, "ink", device="cpu")
    list(vs.stylize_video([GRAY], "ink", device="cpu", preset="draft"))
    with vs.stream("ink", device="cpu") as stylized:
        stylized(GRAY)
    vs.stylize(GRAY, "ink", device="cpu", faces="paint")
    own = np.zeros((60, 100), np.uint8)
    vs.stylize(Frame(GRAY, emphasis=own), "ink", device="cpu")
    assert [frame.emphasis is not None and frame.emphasis.any() for frame in seen] == [
        *(True, True, True, False, False)
    ]
    assert found == [(None, True), (None, False), (None, False), (None, True)]


def test_faces_are_kept_or_painted_and_nothing_else():
    for given, match in (
        ({"faces": "blur"}, "faces is 'blur': use one of keep, paint"),
        ({"faces": "paint", "face_model": "faces.onnx"}, "leave out face_model"),
    ):
        with pytest.raises(ValueError, match=match):
            vs.stylize(GRAY, "ink", **given)
        with pytest.raises(ValueError, match=match):
            vs.render("in.mp4", "ink", "out.mp4", **given)


def test_frame_without_a_face_has_no_emphasis():
    random = np.random.default_rng(0)
    for image in (GRAY, random.integers(0, 255, GRAY.shape, np.uint8), scene()):
        assert frame_with_faces(Frame(image)).emphasis is None


class Planted:
    """Stands for the head: finds a face of these points, in px of an image of 512 px, on the level
    on which its eyes are 10 px apart."""

    def __init__(self, points):
        self.points = points

    def __call__(self, read):
        output = torch.zeros(1, 7, *read.shape[-2:])
        output[:, 0] = -9
        scale = read.shape[-1] * CELL_PX / 512
        if abs(eye_distance(self.points) * scale - 10) < 1:
            points = torch.from_numpy(self.points) * scale / CELL_PX
            x, y = points.mean(0).floor().long()
            output[0, 0, y, x] = 9
            output[0, 1:, y, x] = (points - torch.tensor([x + 0.5, y + 0.5])).flatten()
        return output


class Blank:
    """Stands for the network."""

    def __call__(self, image, layers):
        height, width = image.shape[-2:]
        return {
            FINE_LAYER: torch.zeros(1, 1, height // 4, width // 4),
            COARSE_LAYER: torch.zeros(1, 1, height // 8, width // 8),
        }


@pytest.mark.parametrize("eyes", [5, 10, 20, 40, 80])
def test_detector_finds_faces_of_all_sizes_on_some_level(eyes):
    points = np.array([[240, 230], [240 + eyes, 230], [240 + eyes / 2, 230 + eyes]], np.float64)
    detector = FaceDetector(Blank(), Planted(points), 512)
    detections = detector(np.zeros((512, 512, 3), np.uint8), 0.5)
    assert len(detections) == (eyes > 5)
    for each in detections:
        assert np.abs(each.points - points).max() < 0.5


def test_detector_does_not_enlarge_small_images():
    sizes = []

    class Network(Blank):
        def __call__(self, image, layers):
            sizes.append(image.shape[-1])
            return super().__call__(image, layers)

    FaceDetector(Network(), Planted(100 * FACE), 512)(np.zeros((96, 128, 3), np.uint8), 0.5)
    assert sizes == [128, 64]  # then faces would not fit


def test_nearby_detections_are_one_face_and_the_best_stays():
    points = np.array([[40.0, 30], [50, 30], [45, 40]])
    near, far = Detection(0.9, points + 2), Detection(0.95, points + 30)
    assert distinct([Detection(0.8, points), near, far]) == [far, near]


def test_damaged_head_is_refused_with_a_remedy(tmp_path):
    write_tensors(tmp_path / "head.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(FeaturesError, match="install vidstyle again"):
        read_face_head(tmp_path / "head.safetensors")
    with pytest.raises(FeaturesError, match="does not exist"):
        read_face_head(tmp_path / "gone.safetensors")


def smiley(random):
    """A drawn face on noise, and its points."""
    image = random.integers(90, 160, (120, 160, 3)).astype(np.uint8)
    x, y = random.uniform(50, 110), random.uniform(45, 75)
    points = np.array([[x - 8, y - 5], [x + 8, y - 5], [x, y + 9]])
    cv2.circle(image, (round(x), round(y)), 22, (230, 200, 180), cv2.FILLED)
    for eye in points[:2]:
        cv2.circle(image, tuple(eye.round().astype(int).tolist()), 4, (20, 20, 20), cv2.FILLED)
    cv2.line(image, (round(x - 7), round(y + 9)), (round(x + 7), round(y + 9)), (140, 60, 60), 3)
    return image, points


def test_teacher_labels_faces_that_several_views_show():
    random = np.random.default_rng(1)
    image, points = smiley(random)
    dark = image.min(2) < 40

    def teacher(view):
        """Finds the face in views that show it whole; in the whole image also an error."""
        height, width = view.shape[:2]
        found = [np.array([[0.1, 0.1], [0.2, 0.1], [0.15, 0.2]])] if width == 160 else []
        y, x = np.nonzero(view.min(2) < 40)
        if len(x) < 0.9 * dark.sum():
            return found
        left = x < x.mean()
        eyes = [[x[side].mean(), y[side].mean()] for side in (left, ~left)]
        return [*found, np.array([*eyes, [x.mean(), y.mean() + 14]]) / (width, height)]

    photo = label(image, teacher)
    sure = [face for face in photo.faces if face.sure]
    assert len(sure) == 1 and np.abs(sure[0].points - points).max() < 2
    assert len(photo.faces) == 2  # the error is left out of the loss


def test_targets_of_a_crop_leave_out_faces_of_other_sizes():
    def face(eyes, sure=True):
        return Face(np.array([[80, 80], [80 + eyes, 80], [80 + eyes / 2, 80 + eyes]]), sure)

    score, weight, points = cell_targets([face(12.0)])
    assert score.sum() >= 1 and (weight[score > 0] == 1).all() and (weight == 0).any()
    y, x = np.argwhere(score.numpy())[0]
    at = points[:, y, x].numpy().reshape(3, 2) * CELL_PX + (np.array([x, y]) + 0.5) * CELL_PX
    assert np.abs(at - face(12.0).points).max() < 1e-3
    for other in (face(12.0, sure=False), face(25.0)):
        score, weight, _ = cell_targets([other])
        assert not score.any() and (weight == 0).any()
    score, weight, _ = cell_targets([face(60.0)])
    assert not score.any() and weight.all()


def test_head_learns_drawn_faces():
    random = np.random.default_rng(0)
    photos = []
    for number in range(8):
        image, points = smiley(random)
        photos.append(Photo(image, (Face(points, True),)))
        noise = random.integers(60, 200, image.shape).astype(np.uint8)
        photos.append(Photo(cv2.GaussianBlur(noise, (0, 0), 1 + number % 3), ()))
    head = train_head(photos, steps=40, batch=4)
    image, points = smiley(random)
    detector = FaceDetector(bundled_network(), head, 160)
    result = trial(detector, [Photo(image, (Face(points, True),))], 0.3)
    assert (result.faces, result.found) == (1, 1)
    assert result.error < 1  # in eye distances, after 40 steps of four crops
