"""How many of some twenty thousand requests, drawn from the OpenAPI document of /v1, are answered
otherwise than it says: every phase and every check of Schemathesis, over three seeds.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (1, 2, 3)
EXAMPLES = 450
CASES_MIN = 20_000
AT_MOST = 0


def main() -> None:
    cases = failures = 0
    for seed in SEEDS:
        command = [sys.executable, "-m", "tests.api.openapi_run", str(EXAMPLES), str(seed)]
        told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        report = json.loads(told)
        cases += report["test_cases"]["generated"]
        failures += report["test_cases"]["unique_failures"] + len(report["errors"])
    assert cases >= CASES_MIN, f"only {cases} cases were drawn"
    print(
        json.dumps(
            {"bench": "openapi", "failures": failures, "cases": cases, "must": AT_MOST, "at_most": True}
        )
    )


if __name__ == "__main__":
    main()
