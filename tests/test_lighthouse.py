"""What keeps a page below 100 is named; what has no weight is not."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_faults_are_named():
    spec = importlib.util.spec_from_file_location("lighthouse", ROOT / "tools" / "lighthouse.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    good = {"score": 1, "auditRefs": [{"id": "a", "weight": 1}]}
    bad = {"score": 0.9, "auditRefs": [{"id": "a", "weight": 1}, {"id": "b", "weight": 0}]}
    report = {
        "categories": {"accessibility": good, "best-practices": good, "seo": bad},
        "audits": {
            "a": {"score": 0, "title": "No title"},
            "b": {"score": 0, "title": "Weightless"},
        },
    }
    assert tool.faults(report) == ["seo: No title"]
