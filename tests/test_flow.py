import torch

from vidstyle.flow.warp import resize_flow, warp


def constant_flow(dx, dy, height=12, width=16):
    return torch.tensor([dx, dy]).float().reshape(1, 2, 1, 1).expand(1, 2, height, width)


def test_warp_by_zero_flow_changes_nothing():
    picture = torch.rand(1, 3, 12, 16)
    torch.testing.assert_close(
        warp(picture, constant_flow(0, 0)), picture, atol=1e-5, rtol=0
    )  # float32 grid


def test_warp_takes_each_pixel_from_its_displaced_position():
    picture = torch.rand(1, 3, 12, 16)
    moved = warp(picture, constant_flow(-3, 2))
    torch.testing.assert_close(moved[..., :10, 3:], picture[..., 2:, :13], atol=1e-5, rtol=0)


def test_warp_repeats_borders():
    picture = torch.full((1, 3, 12, 16), 0.8)
    torch.testing.assert_close(warp(picture, constant_flow(50, -50)), picture)


def test_resize_flow_scales_displacements():
    flow = resize_flow(constant_flow(2, -1), (32, 36))
    torch.testing.assert_close(flow, constant_flow(4, -3, 36, 32))
