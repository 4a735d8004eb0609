import pytest
import torch

from vidstyle.runtime.device import disable_unsupported_nnpack


@pytest.mark.parametrize("capability, enabled", [("DEFAULT", False), ("AVX2", True)])
def test_disable_unsupported_nnpack_depends_on_avx2(capability, enabled, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    before = torch._C._get_nnpack_enabled()
    try:
        torch.backends.nnpack.set_flags(True)
        disable_unsupported_nnpack()
        assert torch._C._get_nnpack_enabled() == enabled
    finally:
        torch.backends.nnpack.set_flags(before)
