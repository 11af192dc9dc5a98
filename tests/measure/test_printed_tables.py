"""Tables of the docs that measuring scripts print: each is what its script makes of the committed measurement. Those of
the benchmarks are written by `examples/update_readme.py`, see `test_readme.py`."""

from pathlib import Path

import pytest
from example_scripts import EXAMPLES, load_script

from lerobot_sdm.files import read_json
from lerobot_sdm.measure.latency import LatencyByPart

ROOT = Path(__file__).parents[2]
RESULTS, DOCS = ROOT / "results", ROOT / "docs"


@pytest.fixture(autouse=True)
def neighbors(monkeypatch):
    """Scripts import their neighbors."""
    for folder in ("benchmarks", "deployment"):
        monkeypatch.syspath_prepend(EXAMPLES / folder)


def page(name: str) -> str:
    return (DOCS / name).read_text()


def decisions(network: str) -> dict:
    return read_json(RESULTS / "latency_of_decisions" / f"{network}.json")


def test_latency_of_decisions():
    script = load_script("benchmarks/inference.py")
    for network in ("paper", "simple"):
        found = decisions(network)
        rows = [LatencyByPart(**row) for row in found["rows"]]
        assert script.document(rows, found["bytes_per_ms"]) in page("speed.md")


def test_latency_of_policy_types():
    script = load_script("benchmarks/policy_types.py")
    networks = read_json(RESULTS / "latency_of_types" / "latency.json")["networks"]
    found = {network: [LatencyByPart(**row) for row in rows] for network, rows in networks.items()}
    assert script.table(found) in page("speed.md")


def test_clouds_of_depth_images():
    rows = read_json(RESULTS / "depth_clouds" / "clouds.json")["rows"]
    assert load_script("benchmarks/depth_clouds.py").table(rows) in page("depth_cameras.md")


def test_missed_deadlines():
    cloud = read_json(RESULTS / "depth_clouds" / "clouds.json")["rows"][-1]
    networks = {name: decisions(name)["rows"] for name in ("paper", "simple")}
    table = load_script("deployment/deadlines.py").table(networks, round(cloud["median_ms"]), (30, 80))
    assert table in page("deployment.md")
    assert f"{cloud['median_ms']:.0f} ms with `{cloud['name'].replace(' ', ': ')}`" in page("deployment.md")


def test_latency_of_exported_policies():
    script = load_script("benchmarks/exported_latency.py")
    files = (RESULTS / "exported_latency" / f"{name}.json" for name in ("small", "mixer", "simple", "paper"))
    rows = [script.Row(**row) for file in files for row in read_json(file)["rows"]]
    assert script.table(rows) in page("notes/export_latency.md")
    assert script.overview(rows) in page("export.md")


def test_success_of_exported_policies():
    files = sorted((RESULTS / "exported").glob("*.json"))
    assert load_script("benchmarks/exported_table.py").table(files) in page("notes/export_success.md")


def test_certificates_of_exported_policies():
    files = sorted((RESULTS / "exported_certificates").glob("*.json"))
    assert load_script("benchmarks/exported_table.py").certificates(files) in page("export.md")
