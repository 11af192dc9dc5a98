"""Tables of the docs that measuring scripts print: each is what its script makes of the committed measurement; and
sentences that repeat numbers of committed results. Tables of benchmarks and comparisons are written by
`examples/update_readme.py`, see `test_readme.py`."""

from pathlib import Path

import pytest
from example_scripts import EXAMPLES, load_script

from lerobot_sdm.files import read_json
from lerobot_sdm.measure import tables
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


def sentence(name: str, text: str) -> bool:
    """Whether a page has a text, wherever its lines break."""
    return text in " ".join(page(name).split())


def test_sentence_about_mean_flow_on_other_tasks():
    tasks, methods = ("stick-push", "peg-insert-side"), ("meanflow", "dp3")
    files = {(task, method): RESULTS / "exported" / f"{task}-{method}.json" for task in tasks for method in methods}
    count = {key: sum(read_json(file)["rows"][0]["successes"]) for key, file in files.items()}
    mean_flow, teacher = ([count[task, method] for task in tasks] for method in methods)
    assert sentence("one_step.md", f"succeeds in {mean_flow[0]} of 50 episodes of `stick-push` and {mean_flow[1]} of")
    assert sentence("one_step.md", f"steps in {teacher[0]} and {teacher[1]} of the same ones")


def test_sentences_about_fine_tuning():
    rows = {row["key"]: row for row in read_json(RESULTS / "pusht-adjoint" / "results.json")["rows"]}
    before, after = (rows[key]["max_reward"]["estimate"] for key in ("base", "weight_150"))
    failed = [sum(reward < 0.5 for reward in rows[key]["max_rewards"]) for key in ("base", "weight_150")]
    *others, last = (str(sum(row["successes"])) for row in rows.values())
    assert sentence("adjoint_matching.md", f"highest coverage from {before:.1%} to {after:.1%}")
    assert sentence("adjoint_matching.md", f"hardly changes ({', '.join(others)} and {last} of 200)")
    assert sentence("adjoint_matching.md", f"coverage: {failed[0]} with the base, {failed[1]} with two rounds")


def test_sentence_about_difftori():
    gains = []
    for task in ("disassemble", "hammer"):
        rows = {row["key"]: row for row in read_json(RESULTS / f"difftori-{task}" / "results.json")["rows"]}
        gains.append(tables.points(rows["difftori"]["success_difference"]).replace(" (", " points (", not gains))
    assert sentence("difftori.md", f"gained {gains[0]} on disassemble and {gains[1]} on hammer")


def test_sentences_about_deadlines():
    points = read_json(RESULTS / "deployment" / "detour" / "results.json")["points"]
    found = {point["slowdown"]: {row["label"]: row for row in point["rows"]} for point in points}
    teacher, student = (found[1.0][label] for label in ("dp3", "sdm"))
    missed = f"{teacher['planning_missed']} of the ten-step teacher's {teacher['planning']['count']} plans"
    assert sentence("deployment.md", f"{missed} miss the deadline and none of the one-step student's do")
    assert student["planning_missed"] == 0
    slow = [sum(found[16.0][label]["successes"]) for label in ("dp3", "sdm")]
    assert sentence("deployment.md", f"16 times as long: {slow[0]} of 50, against {slow[1]} of 50 for the student")


def test_sentences_about_dexart():
    results = read_json(RESULTS / "dexart-4" / "results.json")
    summary = next(item for item in results["summaries"] if item["protocol"] == "strict")
    against_free = {row["method"]: row["free_baseline"] for row in summary["rows"] if row.get("free_baseline")}
    assert against_free["sdm"]["method"] == "dp3-2"
    assert against_free["sdm"]["difference"]["high"] < 0
    assert against_free["regression"]["difference"]["high"] > 0
    distances: dict[str, dict[str, float]] = {}
    for cell in results["cells"]:
        distances.setdefault(cell["task"], {})[cell["method"]] = cell["distance_to_demonstrations"]["estimate"]
    assert {min(found, key=found.get) for found in distances.values()} == {"sdm"}
    faucet = distances["dexart-faucet"]
    told = f"{faucet['sdm']:.2f} on faucet against the teacher's {faucet['dp3-10']:.2f} and `regression`'s"
    assert sentence("notes/dexart_study.md", f"{told} {faucet['regression']:.2f}")
