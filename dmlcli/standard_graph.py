"""An inference graph in standard operators: `FusedConv`, which the CPU is quick with, is split for other providers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

_SETTINGS = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}  # what activation_params are called


def standard_graph(file: Path) -> bytes:
    """Return a graph without the operator FusedConv, serialized; its weights stay in the file next to it."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    nodes = [part for node in model.graph.node for part in _parts(node, model.graph)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _parts(node: "onnx.NodeProto", graph: "onnx.GraphProto") -> "Iterator[onnx.NodeProto]":
    """Yield the standard nodes that a node stands for: convolution, addition of its fourth input, activation."""
    from onnx import helper

    if node.op_type != "FusedConv":
        yield node
        return
    settings: dict[str, Any] = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    kind = settings.pop("activation", b"").decode()
    numbers = list(settings.pop("activation_params", ()))
    output, inputs = node.output[0], list(node.input)
    added = inputs[3] if len(inputs) > 3 else ""
    steps = ["Conv", *(["Add"] if added else []), *([kind] if kind else [])]
    names = [f"{output}/{step}" for step in steps[:-1]] + [output]
    taken = inputs[: 3 if len(inputs) > 2 and inputs[2] else 2]  # the bias may be left out
    yield helper.make_node("Conv", taken, [names[0]], **settings)
    if added:
        yield helper.make_node("Add", [names[0], added], [names[1]])
    if kind == "Clip":
        limits = [f"{output}/{limit}" for limit in ("low", "high")]
        graph.initializer.extend(
            helper.make_tensor(name, 1, [], [number]) for name, number in zip(limits, numbers, strict=True)
        )
        yield helper.make_node("Clip", [names[-2], *limits], [output])
    elif kind:
        yield helper.make_node(kind, [names[-2]], [output], **dict(zip(_SETTINGS.get(kind, ()), numbers, strict=False)))
