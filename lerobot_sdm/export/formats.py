"""Write a traced graph to files: torch's ONNX exporter, OpenVINO's converter, torch.export; their makers' quantizers.

Imported only once `options.check_options` has found the packages that a format needs.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from lerobot_sdm.export import runtime
from lerobot_sdm.nets.precision import REDUCIBLE

Arrays = Mapping[str, np.ndarray]
"""Inputs of the graph by name, (1, ...) each."""

ONE_FILE = 1_500_000_000
"""Bytes of weights up to which an ONNX graph is a single file; protobuf ends at 2 GB."""

MODULES = "pkg.torch.onnx.class_hierarchy"
"""Where torch's exporter tells which modules' code a node comes from."""

OUTPUT, BATCH = "action", "batch"


def write_onnx(program: ExportedProgram, names: Sequence[str], calibration: Sequence[Arrays], folder: Path) -> str:
    """Write an ONNX graph.

    Args:
        program: The trace.
        names: Of its inputs.
        calibration: Inputs from which the ranges of an int8 graph are taken; empty for float32.
        folder: Where the files go.

    Returns:
        Name of the file to open.
    """
    import onnx

    with single_outputs():
        written = torch.onnx.export(program, input_names=names, output_names=[OUTPUT], dynamo=True, verbose=False)
    assert written is not None
    for value in (*written.model.graph.inputs, *written.model.graph.outputs):
        value.shape[0] = BATCH  # type: ignore[index]  # The exporter knows the shape of each of them.
    large = sum(value.nbytes for value in program.state_dict.values()) > ONE_FILE
    file = folder / "model.onnx"
    if not calibration:
        written.save(str(file), external_data=large)
        return file.name
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        plain = Path(scratch) / "float32.onnx"
        written.save(str(plain), external_data=large)
        modules = {layer.__module__ for layer in REDUCIBLE}
        products = [
            str(node.name)
            for node in written.model.graph
            if any(module in node.metadata_props.get(MODULES, "") for module in modules)
        ]
        _quantize_onnx(plain, file, calibration, products, large)
    onnx.checker.check_model(str(file))
    return file.name


@contextlib.contextmanager
def single_outputs() -> Iterator[None]:
    """Let onnxscript's optimizer look only for patterns that end in one node.

    For the one that ends in two (slices that make up a split) it lists the whole graph anew at every node: most of the
    time that the export of a ten-step teacher took. No policy here has it.
    """
    from onnxscript import rewriter

    name = "_DEFAULT_REWRITE_RULES"
    rules = getattr(rewriter, name, ())

    def quick(rule: object) -> bool:
        return getattr(getattr(rule, "_target_pattern", None), "has_single_output_node", True)

    setattr(rewriter, name, tuple(filter(quick, rules)))
    try:
        yield
    finally:
        setattr(rewriter, name, rules)


def _quantize_onnx(
    plain: Path, file: Path, calibration: Sequence[Arrays], products: Sequence[str], large: bool
) -> None:
    """Quantize a U-Net's convolutions or a mixer's layers over channels to int8, weights channel by channel, as
    `nets.precision` does. Quantized encoders and FiLM layers lose several times as much accuracy."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self._rest, None)
            return None if sample is None else dict(sample)

    prepared = plain.with_name("prepared.onnx")
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True, save_as_external_data=large)
    quantize_static(
        str(prepared),
        str(file),
        Reader(),
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        nodes_to_quantize=list(products),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        # Weights of 7 bits: sums of 8-bit products overflow on processors without VNNI, where the graph may run later.
        reduce_range=True,
        use_external_data_format=large,
    )


def write_openvino(program: ExportedProgram, names: Sequence[str], calibration: Sequence[Arrays], folder: Path) -> str:
    """Write an OpenVINO graph; see `write_onnx`, whose int8 graph this converts."""
    import openvino

    file = folder / "model.xml"
    if calibration:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            model = openvino.convert_model(Path(scratch) / write_onnx(program, names, calibration, Path(scratch)))
            openvino.save_model(model, file, compress_to_fp16=False)
        return file.name
    model = openvino.convert_model(program)
    shapes = {}
    for port, name, shape in zip(model.inputs, names, input_shapes(program), strict=True):
        port.tensor.set_names({name})
        shapes[name] = [size if isinstance(size, int) else -1 for size in shape]
    model.outputs[0].tensor.set_names({OUTPUT})
    model.reshape(shapes)
    openvino.save_model(model, file, compress_to_fp16=False)
    return file.name


def write_torch(program: ExportedProgram, names: Sequence[str], calibration: Sequence[Arrays], folder: Path) -> str:
    """Write a graph for `torch.export.load`; see `write_onnx`. Never quantized."""
    file = folder / "model.pt2"
    torch.export.save(program, file)
    return file.name


WRITERS: dict[str, Callable[..., str]] = {"onnx": write_onnx, "openvino": write_openvino, "torch": write_torch}
"""Format -> what writes it."""


def input_shapes(program: ExportedProgram) -> list[tuple[Any, ...]]:
    """Shapes of the inputs of a trace; a size that may change is not an `int`."""
    user_inputs = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in user_inputs]
    return [tuple(node.meta["val"].shape) for node in nodes]


def open_torch(path: str, threads: int) -> tuple[dict[str, list], Any]:
    """Open a graph that `write_torch` wrote; see `runtime.open_onnx`. The runtime finds it when this is imported."""
    program = torch.export.load(path)
    module = program.module()
    torch.set_num_threads(threads)
    manifest = runtime.read_manifest(Path(path).parent)
    names = list(manifest["inputs"])
    shapes = {name: list(shape[1:]) for name, shape in zip(names, input_shapes(program), strict=True)}

    @torch.inference_mode()
    def run(inputs: Arrays) -> np.ndarray:
        return module(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names)).numpy()

    return runtime.fixed_sizes(shapes), run


runtime.OPENERS["torch"] = open_torch


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what the exporters print about their own progress."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "root")}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
