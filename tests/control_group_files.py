"""The files in which Linux tells a process's control groups, written to a folder of a test."""

from pathlib import Path


def control_groups(root: Path, listing: str, files: dict[str, str]) -> Path:
    """Write `proc/self/cgroup` and other files below `root`.

    Args:
        listing: Lines of `proc/self/cgroup`.
        files: Path below `root` -> content.
    """
    for name, text in {"proc/self/cgroup": listing, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root
