"""How large a page may become. How long it may take is measured, not tested: `python -m benchmarks.reports`."""

import pytest

from benchmarks.reports import CASES, measure


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=pytest.mark.suite if "400" in case.name or "2000" in case.name else ())
        for case in CASES
    ],
)
@pytest.mark.suite
def test_a_large_report_stays_a_small_file(case, tmp_path):
    _, size = measure(case, tmp_path)
    assert size < case.bytes
