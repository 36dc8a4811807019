"""Stores the answers of SageMaker's own stack to all requests: `python tests/oracle/record.py [NAME ...]`.

With names, only those handlers are asked again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracle.case import Answer, Case
from oracle.idioms import CASES
from oracle.stack import VERSIONS, Stack, without_traceback

STORED = Path(__file__).with_name("answers.json")


def ask_stack(case: Case) -> list[Answer]:
    """The stack's answers to the requests of one handler, one after the other."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Stack(case, Path(folder)) as stack:
        return [without_traceback(stack.ask(request)) for request in case.requests]


def read_stored() -> dict[str, list[Answer]]:
    """The stored answers by the handlers' names."""
    stored = json.loads(STORED.read_text())["handlers"]
    return {name: [Answer.from_json(answer) for answer in answers] for name, answers in stored.items()}


def main(names: list[str]) -> None:
    answers = {name: found for name, found in (read_stored() if names else {}).items() if name in CASES}
    for name in names or CASES:
        sys.stderr.write(f"{name}\n")
        answers[name] = ask_stack(CASES[name])
    rows = {name: [answer.as_json() for answer in answers[name]] for name in sorted(answers)}
    STORED.write_text(json.dumps({"versions": VERSIONS, "handlers": rows}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
