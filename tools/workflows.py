"""Check what GitHub reads, without GitHub: workflows, forms of issues, dependabot, the citation.

Schemas come from check-jsonschema and the rules of security from zizmor, both without network.
What they cannot know stands here: a step calls a verb that there is, an action is named by a
commit and has one version in all files.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.github-actions": ".github/actions/*/action.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.citation-file-format": "CITATION.cff",
}
USES = re.compile(r"uses: (?!\./)([\w./-]+)@(\S+)(?: # (\S+))?")
VERB = re.compile(r"tools/house\.py ([\w-]+)")


def load(text: str) -> dict:
    """YAML as GitHub reads it: version 1.2, where `on` is a word, and a day is text."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))


def against_schemas(root: Path) -> list[str]:
    """What the schemas refuse."""
    found = []
    for name, pattern in SCHEMAS.items():
        schema = get_builtin_schema(name)
        validator = validator_for(schema)(schema)
        for file in sorted(root.glob(pattern)):
            error = best_match(validator.iter_errors(load(file.read_text("utf-8"))))
            if error:
                where = f"{file.relative_to(root).as_posix()}: {error.json_path}"
                found.append(f"{where}: {name} refuses {error.message[:200]}")
    return found


def insecure(root: Path) -> list[str]:
    """What zizmor finds."""
    options = ["--offline", "--no-progress", "--quiet", "--color=never"]
    command = [Path(sys.executable).with_name("zizmor"), *options, str(root / ".github")]
    done = subprocess.run(command, capture_output=True, text=True)
    return [done.stdout + done.stderr] if done.returncode else []


def unpinned(texts: dict[str, str]) -> list[str]:
    """Actions without a commit and its version, or with several."""
    found, seen = [], {}
    for name, text in texts.items():
        for action, reference, version in USES.findall(text):
            if not re.fullmatch(r"[0-9a-f]{40}", reference) or not version:
                found.append(f"{name}: {action}@{reference}: expected a commit, # and its version")
            elif seen.setdefault(action, (reference, version)) != (reference, version):
                found.append(f"{name}: {action} has another version in another file")
    return found


def unknown_verbs(texts: dict[str, str], verbs: set[str]) -> list[str]:
    """Steps that call a verb which the house does not have."""
    return [
        f"{name}: no verb {verb!r}"
        for name, text in texts.items()
        for verb in VERB.findall(text)
        if verb not in verbs
    ]


def without_rights(texts: dict[str, str]) -> list[str]:
    """Workflows that do not begin with the least that they need."""
    return [
        f"{name}: expected permissions of {{contents: read}} at the top"
        for name, text in texts.items()
        if "/workflows/" in name and load(text).get("permissions") != {"contents": "read"}
    ]


def faults(root: Path, verbs: set[str]) -> list[str]:
    """Everything that is wrong below a folder; empty where nothing is."""
    files = sorted((root / ".github").rglob("*.yml"))
    texts = {file.relative_to(root).as_posix(): file.read_text("utf-8") for file in files}
    own = [*unpinned(texts), *unknown_verbs(texts, verbs)]
    return against_schemas(root) or [*own, *without_rights(texts), *insecure(root)]


def main(verbs: list[str]) -> int:
    found = faults(ROOT, set(verbs))
    print("\n".join(found) or "Workflows: nothing to say.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
