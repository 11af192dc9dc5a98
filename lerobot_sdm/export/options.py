"""What can be exported, and what must be installed for it. Imports nothing heavy."""

import importlib.util

from lerobot_sdm.errors import InputError, check_known, missing_package

EXTRAS: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "torch": (),
}
"""Format, and extra of this package -> packages that it needs."""

TOLERANCES = {"float32": 1e-3, "int8": 0.2}
"""Precision -> default of the largest error, in normalized units."""

POINTS = ("fixed", "dynamic")


def check_options(format_: str, precision: str, points: str, tolerance: float | None) -> None:
    """Refuse options that cannot work.

    Raises:
        InputError: A value is unknown, or the format's packages are not installed.
    """
    for option, value, known in (
        ("--format", format_, EXTRAS),
        ("--precision", precision, TOLERANCES),
        ("--points", points, POINTS),
    ):
        check_known(option, value, known)
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise InputError(f"--tolerance={tolerance:g}: must be a finite number above 0.")
    if format_ == "torch" and precision != "float32":
        raise InputError(
            f"--precision={precision}: torch's quantized products cannot be exported. Choose --format=onnx or "
            "openvino, or run the policy itself with --policy.inference_precision=int8."
        )
    for extra in (format_, "onnx") if precision == "int8" else (format_,):  # ONNX Runtime quantizes for all.
        missing = [package for package in EXTRAS[extra] if importlib.util.find_spec(package) is None]
        if missing:
            raise missing_package(f"--format={format_} --precision={precision}", missing[0], extra)
