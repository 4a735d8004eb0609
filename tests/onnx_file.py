"""Writes small networks as ONNX files: one convolution and an activation."""

import struct


def _varint(number):
    out = bytearray()
    while True:
        number, low = number >> 7, number & 127
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def _field(number, value):
    """A field of a Protocol Buffers message: an integer, a string, or bytes of a message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _value(name, shape):
    """ValueInfoProto of a float tensor."""
    sizes = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))


def write_onnx(path, weights, bias, size, activation="Sigmoid"):
    """Write a network of one 1 x 1 convolution.

    Args:
        path: of the file.
        weights: (outputs, 3) nested lists.
        bias: of each output.
        size: (width, height) px of input and output.
        activation: ONNX operator after it; None: none.
    """
    count, (width, height) = len(weights), size
    flat = [value for row in weights for value in row]

    def tensor(name, shape, values):
        sizes = b"".join(_field(1, each) for each in shape)
        raw = struct.pack(f"<{len(values)}f", *values)
        return _field(5, sizes + _field(2, 1) + _field(8, name) + _field(9, raw))

    kernel = _field(1, "kernel_shape") + _field(8, 1) + _field(8, 1) + _field(20, 7)
    last = "y" if activation is None else "conv"
    inputs = b"".join(_field(1, name) for name in ("x", "w", "b"))
    nodes = _field(1, inputs + _field(2, last) + _field(4, "Conv") + _field(5, kernel))
    if activation:
        nodes += _field(1, _field(1, "conv") + _field(2, "y") + _field(4, activation))
    graph = nodes + _field(2, "net")
    graph += tensor("w", (count, 3, 1, 1), flat) + tensor("b", (count,), bias)
    graph += _field(11, _value("x", (1, 3, height, width)))
    graph += _field(12, _value("y", (1, count, height, width)))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path
