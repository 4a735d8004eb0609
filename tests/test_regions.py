"""Regions: parts of a frame with styles and settings of their own."""

import logging
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import QUICK, QUICK_FLAGS, painter, pixels_of, pixels_of_render, scene, write_clip

from vidstyle import Frame, InputError, Settings
from vidstyle.cli.main import main
from vidstyle.cli.usage import in_flags
from vidstyle.distributed.tasks import Clip, Recipe, Shot, perform
from vidstyle.io.images import write_image
from vidstyle.io.mask_file import MaskFile
from vidstyle.job import RenderJob
from vidstyle.losses.base import StyleSize
from vidstyle.losses.patch_matching import sinkhorn_offsets
from vidstyle.losses.style import RegionStyleTarget, StyleTarget, region_style_loss
from vidstyle.ops.color import color_statistics, toward_style_colors
from vidstyle.ops.tensors import to_tensor
from vidstyle.regions import RegionEntry, load_regions, parse_regions
from vidstyle.stylizer.regions import (
    FrameGuides,
    FrameRegions,
    Region,
    region_strengths,
    style_context,
    with_rest,
)

LEFT = np.zeros((48, 64), np.uint8)
LEFT[:, :32] = 255
"""A mask of the left half."""


@pytest.fixture
def left_file(tmp_path):
    write_image(tmp_path / "left.png", np.repeat(LEFT[..., None], 3, -1))
    return tmp_path / "left.png"


def stylized(features, style, regions, masks=(LEFT,), frame=None, **settings):
    """The stylised first frame with regions."""
    paint = painter(features, style, **settings)
    paint.regions = tuple(regions)
    return paint(Frame(scene() if frame is None else frame, regions=np.stack(masks)))


def test_region_of_strength_0_is_not_changed(features, style):
    made = stylized(features, style, [Region(settings={"strength": 0.0})])
    assert made.regions is None
    assert np.array_equal(made.image[:, :32], scene()[:, :32])
    assert np.abs(made.image[:, 32:].astype(int) - scene()[:, 32:]).mean() > 3


@pytest.mark.parametrize("patch_weight", [0.0, 0.5])
def test_region_is_stylized_in_its_own_style(features, style, other, patch_weight):
    options = {"initial_steps": 60, "pyramid_levels": 1, "patch_weight": patch_weight}
    image = to_tensor(stylized(features, style, [Region(other)], **options).image)

    def distance(half, target):
        return painter(features, target).objective(half)(half)["style"].item()

    left, right = image[..., :32], image[..., 32:]
    assert distance(left, other) < 0.5 * distance(right, other)
    assert distance(right, style) < 0.5 * distance(left, style)


def test_empty_region_changes_nothing(features, style, other):
    empty = stylized(features, style, [Region(other)], [np.zeros_like(LEFT)])
    plain = painter(features, style)(Frame(scene()))
    # Masks of 1 multiply all activations: the last bits differ, and six steps enlarge that.
    assert np.abs(empty.image.astype(int) - plain.image).max() <= 2


def test_region_warm_starts_like_the_rest(features, style, other):
    paint = painter(features, style)
    paint.regions = (Region(other),)
    first, second = (paint(Frame(scene(), regions=LEFT[None])) for _ in range(2))
    change, stylization = (
        np.abs(second.image.astype(int) - before).mean() for before in (first.image, scene())
    )
    assert change < 0.5 * stylization
    assert len(paint.iterations) == QUICK.steps


def test_frame_without_regions_has_the_style_of_the_rest(features, style, other):
    paint = painter(features, style)
    paint.regions = (Region(other),)
    plain = painter(features, style)(Frame(scene()))
    assert np.array_equal(paint(Frame(scene())).image, plain.image)


def test_frame_with_another_number_of_regions_is_refused(features, style, other):
    with pytest.raises(ValueError, match="2 masks for 1 regions"):
        stylized(features, style, [Region(other)], [LEFT, 255 - LEFT])
    with pytest.raises(ValueError, match="regions must be a uint8 array"):
        Frame(scene(), regions=LEFT)
    with pytest.raises(ValueError, match="steps cannot differ between regions"):
        Region(other, {"steps": 3})


def test_region_style_loss_is_that_of_gram_matrices_over_masks():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(1, 3, 6, 8, generator=generator, dtype=torch.float64)
    mask = torch.rand(1, 1, 6, 8, generator=generator, dtype=torch.float64)
    masks = torch.cat([mask, 1 - mask], 1)
    wanted = [torch.rand(3, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    targets = tuple(StyleTarget.from_grams({"": w + w.T}) for w in wanted)
    found = region_style_loss([maps], RegionStyleTarget(targets, masks))
    expected = 0.0
    for region, target in zip(masks[0], targets, strict=True):
        own = torch.einsum("hw,chw,dhw->cd", region, maps[0], maps[0]) / region.sum()
        loss = ((own.flatten() - target.grams).square() * target.weights).sum()
        expected += region.mean() * loss
    assert found.item() == pytest.approx(expected.item())


def test_matches_of_a_region_use_its_own_patches_alone():
    """Patches outside a region do not take style patches away from those within it."""
    similarity = torch.rand(40, 12, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(40)
    inside[:15] = 1
    alone = sinkhorn_offsets(similarity[:15])
    # The largest similarity of a row does not matter, only its differences.
    assert torch.allclose(sinkhorn_offsets(similarity, inside + 1e-9), alone, atol=1e-4)


def test_colors_of_a_region_move_towards_its_own_style():
    image = to_tensor(scene())
    mask = to_tensor(np.repeat(LEFT[..., None], 3, -1))[:, :1]
    red, blue = (
        to_tensor(np.full((8, 8, 3), color, np.uint8)) for color in ([200, 20, 20], [20, 20, 200])
    )
    targets = torch.stack([color_statistics(red), color_statistics(blue)])
    made = toward_style_colors(image, targets, torch.cat([mask, 1 - mask], 1))
    left, right = (part.mean((0, 2, 3)) for part in made.split(32, 3))
    assert left[0] > left[2] and right[2] > right[0]


def test_masks_of_regions_sum_to_1_also_where_they_overlap():
    masks = torch.tensor([[[[0.0, 0.4, 1.0]], [[0.0, 0.2, 1.0]]]])
    whole = with_rest(masks)
    assert torch.allclose(whole.sum(1), torch.ones(1, 1, 3))
    assert torch.allclose(whole[0, :, 0], torch.tensor([[1, 0.4, 0], [0, 0.4, 0.5], [0, 0.2, 0.5]]))
    regions = Region(settings={"strength": 0.0}), Region()
    assert torch.allclose(
        region_strengths(FrameRegions(regions, masks), 0.8)[0, 0], torch.tensor([0.8, 0.48, 0.4])
    )


def test_region_has_its_own_style_scale_and_content_weight(features, style, other):
    content, masks = to_tensor(scene()), to_tensor(np.repeat(LEFT[..., None], 3, -1))[:, :1]
    paint = painter(features, style)
    losses = paint.losses(features, QUICK)
    regions = [Region(other, {"style_scale": 0.7, "content_weight": 2 * QUICK.content_weight})]
    context = style_context(
        style, QUICK, losses, content, FrameGuides(FrameRegions(regions, masks))
    )
    assert context.regions.content_gains.tolist() == [1.0, 2.0]
    smaller = other.targets(losses, StyleSize(64, 0.7))
    number = [loss.name for loss in losses].index("style")
    assert torch.equal(context.targets[number][1].grams, smaller[number].grams)


def regions_of(name, *texts):
    job = RenderJob(name, "out.mkv", regions=parse_regions(texts))
    with job.open_source() as source:
        return [frame.regions for frame in source]


def test_source_has_the_masks_of_all_regions(tmp_path, left_file, caplog):
    clip = write_clip(tmp_path / "clip.mp4", count=2)
    write_image(tmp_path / "right.png", np.repeat(255 - LEFT[..., None], 3, -1))
    found = regions_of(clip, f"{left_file}=ink", f"{tmp_path / 'right.png'}=dots")
    assert len(found) == 2 and np.array_equal(found[1], np.stack([LEFT, 255 - LEFT]))
    assert not caplog.messages
    with caplog.at_level(logging.WARNING, "vidstyle"):
        regions_of(clip, f"{left_file}=ink", f"{left_file}=dots")
    (message,) = caplog.messages
    assert "overlap on 50 % of a frame" in message
    (still,) = regions_of(left_file, f"{left_file}=ink")
    assert np.array_equal(still[0], LEFT)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("mask.png", ValueError, "is not MASK=STYLE"),
        ("=ink", ValueError, "is not MASK=STYLE"),
        ("mask.png=", ValueError, "is not MASK=STYLE"),
        ("mask.png=ink,strenght=1", ValueError, "did you mean strength"),
        ("mask.png=ink,strength=1,strength=0.5", ValueError, "strength twice: give one value"),
        ("mask.png=ink,strength=much", ValueError, "use a number"),
        ("mask.png=ink,strength=3", ValueError, "^--region mask.png=ink,strength=3: strength is 3"),
        ("mask.png=inc", InputError, "did you mean ink"),
        ("mask.png=,", ValueError, "a region has no ''"),
    ],
)
def test_region_with_wrong_words_names_the_remedy(text, error, message):
    with pytest.raises(error, match=message):
        parse_regions([text])


def test_render_with_a_region_stylizes_it_apart(
    tmp_path, features, features_file, style_file, other_file, left_file
):
    clip = write_clip(tmp_path / "in.mkv", count=4, rate=Fraction(10), crf=1)
    files = "--features", features_file, "-c:v", "ffv1"

    def render(name, *flags):
        command = "render", *QUICK_FLAGS, "-q", clip, style_file, "-o", tmp_path / name, *files
        main([*map(str, (*command, *flags))])
        return pixels_of(tmp_path / name)

    source = pixels_of(clip)
    kept = render("kept.mkv", "--region", f"{left_file}=,strength=0")
    assert all(np.array_equal(a[:, :31], b[:, :31]) for a, b in zip(kept, source, strict=True))
    plain = render("plain.mkv")
    own = render("own.mkv", "--region", f"{left_file}={other_file}")
    assert not np.array_equal(own[3], plain[3])
    regions = [{"mask": left_file, "invert": True, "strength": 0.0}]
    files = clip, style_file, tmp_path / "api.mkv"
    made = pixels_of_render(*files, features, regions=regions)
    assert np.array_equal(made[3][:, 33:], source[3][:, 33:])


def test_regions_with_a_content_weight_need_one_of_the_frame(features, left_file):
    entries = parse_regions([f"{left_file}=,content-weight=0.1"])
    assert load_regions(entries, features, 0.01)
    with pytest.raises(ValueError, match="content_weight is 0 and") as raised:
        load_regions(entries, features, 0.0)
    assert in_flags(raised.value).endswith("such as --content-weight 0.001")


def test_job_with_other_regions_is_not_resumed(tmp_path, clip, left_file, other_file):
    job = RenderJob(
        clip, tmp_path / "out.mp4", regions=parse_regions([f"{left_file}={other_file}"])
    )
    before = job.identity(Settings())
    weaker = replace(job.regions[0], settings={"strength": 0.5})
    assert replace(job, regions=(weaker,)).identity(Settings()) != before
    write_image(left_file, np.repeat(255 - LEFT[..., None], 3, -1))
    assert job.identity(Settings()) != before
    assert {str(left_file), str(other_file)} <= set(map(str, job.inputs))


def test_worker_stylizes_a_shot_with_its_regions(tmp_path, features, style, left_file, monkeypatch):
    clip = write_clip(tmp_path / "in.mkv", count=3, rate=Fraction(10), crf=1)
    entries = (RegionEntry(MaskFile(left_file.name), None, {"strength": 0.0}),)
    monkeypatch.chdir(tmp_path)
    stylizer = painter(features, style)
    stylizer.regions = load_regions(entries, features)
    recipe = Recipe.of(stylizer, "cpu", 1)
    sent = Clip.of(RenderJob(clip, tmp_path / "out.mkv", regions=entries), stylizer.settings)
    monkeypatch.chdir("/")
    with_region, without = (
        perform(each, sent, Shot(0, 3)).value[0].data
        for each in (recipe, replace(recipe, regions=()))
    )
    assert with_region != without
