"""An expected failure of the suite is a line that multi-model-server breaks in the declared way, and nothing else."""

from __future__ import annotations

import pytest

pytest_plugins = "pytester"

CASE = """
    import pytest
    from cases import Deviation, contract, line

    @pytest.fixture
    def target(request):
        return request.param

    @pytest.fixture
    def answer():
        {fixture}

    @contract("Unknown routes: 404", mms=Deviation("answers 200", lambda answer: answer == 200), targets=("mms",))
    def test_unknown_route(target, answer):
        {start}
        with line(answer):
            assert answer == 404
"""


@pytest.mark.parametrize(
    ("fixture", "start", "outcome"),
    [
        ("return 200", "pass", "xfailed"),
        ("return 500", "pass", "failed"),
        ("return 404", "pass", "failed"),
        ("raise AssertionError('the image was not built')", "pass", "errors"),
        ("return 200", "raise AssertionError('the server did not start')", "failed"),
        ("return 200", "raise KeyError('retry-after')", "failed"),
    ],
    ids=["as declared", "in another way", "kept", "no fixture", "no server", "no set-up"],
)
def test_only_the_declared_deviation_is_expected(
    pytester: pytest.Pytester, fixture: str, start: str, outcome: str
) -> None:
    pytester.makeini("[pytest]\nmarkers = contract(line, reason): a line\nfilterwarnings = error\n")
    pytester.makepyfile(CASE.format(fixture=fixture, start=start))
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(**{outcome: 1})
