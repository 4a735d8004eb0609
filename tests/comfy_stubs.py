"""What the nodes use of ComfyUI 0.3.75: classes that accept a part of what its own classes accept,
check what ComfyUI checks, and record the rest."""

import inspect
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


class InterruptProcessingException(Exception):  # noqa: N818 (ComfyUI's name)
    """The user pressed Cancel."""


class Input:
    io_type = ""

    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None):
        self.id, self.optional, self.tooltip = id, optional, tooltip


class Combo(Input):
    io_type = "COMBO"

    def __init__(self, id, options, display_name=None, optional=False, tooltip=None, default=None):
        super().__init__(id, display_name, optional, tooltip)
        assert default in options
        self.options, self.default = options, default


class Number(Input):
    def __init__(
        self, id, optional=False, tooltip=None, default=None, min=None, max=None, step=None
    ):
        super().__init__(id, None, optional, tooltip)
        assert min <= default <= max
        self.default, self.min, self.max, self.step = default, min, max, step


class Output:
    def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
        self.id, self.display_name = id, display_name


def kind(name, base=Input):
    """A type of ``comfy_api.latest.io``, with its ``Input`` and ``Output``."""
    return SimpleNamespace(
        io_type=name,
        Input=type(f"{name}Input", (base,), {"io_type": name}),
        Output=type(f"{name}Output", (Output,), {"io_type": name}),
    )


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    description: str = ""

    def __post_init__(self):
        ids = [each.id for each in self.inputs]
        assert len(set(ids)) == len(ids)


class NodeOutput:
    def __init__(self, *args, ui=None):
        self.args = args


class LockedMeta(type):
    """ComfyUI runs a clone of a node's class, whose attributes cannot be set."""

    def __setattr__(cls, name, value):
        raise AttributeError(f"Cannot set attribute '{name}' on immutable class {cls.__name__}")


class ComfyNode(metaclass=LockedMeta):
    @classmethod
    def define_schema(cls):
        raise NotImplementedError


class ComfyExtension:
    pass


@dataclass
class VideoComponents:
    images: torch.Tensor
    frame_rate: Fraction
    audio: Any = None
    metadata: dict | None = None


class VideoFromComponents:
    def __init__(self, components):
        self._components = components

    def get_components(self):
        return self._components


class Host:
    """ComfyUI while it runs a node: what the node showed, and whether the user cancelled."""

    def __init__(self):
        self.bar, self.previews, self.cancel_at = [], [], None
        self.device = torch.device("cpu")

    def progress_bar(self):
        """The class ``comfy.utils.ProgressBar``."""
        host = self

        class ProgressBar:
            def __init__(self, total, node_id=None):
                self.total = total

            def update_absolute(self, value, total=None, preview=None):
                self.total = self.total if total is None else total
                host.bar.append((value, self.total))
                if preview is not None:
                    host.previews.append(preview)

        return ProgressBar

    def check(self):
        """``comfy.model_management.throw_exception_if_processing_interrupted``."""
        if self.cancel_at is not None and len(self.bar) >= self.cancel_at:
            raise InterruptProcessingException

    def run(self, node, **inputs):
        """Run a node as ComfyUI does: in inference mode, by the names of its inputs."""
        schema = node.define_schema()
        given = {each.id: each.default for each in schema.inputs if hasattr(each, "default")}
        given |= inputs
        assert {each.id for each in schema.inputs if not each.optional} <= set(given)
        assert not inspect.iscoroutinefunction(node.execute)
        with torch.inference_mode():
            output = node.execute(**given)
        assert len(output.args) == len(schema.outputs)
        return output.args[0]


def modules(host):
    """Name -> module: ComfyUI's modules, as nodes import them."""
    names = ("comfy", "comfy.model_management", "comfy.utils", "comfy_api", "comfy_api.latest")
    made = {name: ModuleType(name) for name in names}
    management, latest = made["comfy.model_management"], made["comfy_api.latest"]
    management.throw_exception_if_processing_interrupted = host.check
    management.get_torch_device = lambda: host.device
    made["comfy.utils"].ProgressBar = host.progress_bar()
    made["comfy"].model_management, made["comfy"].utils = management, made["comfy.utils"]
    made["comfy_api"].latest = latest
    latest.ComfyExtension = ComfyExtension
    latest.InputImpl = SimpleNamespace(VideoFromComponents=VideoFromComponents)
    latest.io = SimpleNamespace(
        ComfyNode=ComfyNode,
        Input=Input,
        Schema=Schema,
        NodeOutput=NodeOutput,
        Image=kind("IMAGE"),
        Video=kind("VIDEO"),
        Mask=kind("MASK"),
        Combo=SimpleNamespace(Input=Combo),
        Float=kind("FLOAT", Number),
        Int=kind("INT", Number),
    )
    assert not set(made) & set(sys.modules)
    return made
