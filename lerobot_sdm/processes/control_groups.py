"""Find the control groups (cgroups) of this process, by which containers and schedulers limit it."""

from collections.abc import Iterator
from pathlib import Path


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """Folder and version (1 or 2) of this process's own cgroup and of those above it.

    Args:
        controller: What the limits are about, `cpu` or `memory`.
        root: Root folder of the `proc` and `sys` file systems.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield mount / group, 1 if controllers else 2
