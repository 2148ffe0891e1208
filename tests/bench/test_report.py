from datetime import date

from .machine import machine, processor, sentence
from .measure import Sizes
from .plan import LIMIT
from .report import Report, read
from .table import Results

RESULTS: Results = {
    "ws: events/s": {"chatapp-tail": [3.0, 1.0, 2.0], "slow": ["no"], LIMIT: [5e6, 5e6]},
}
MACHINE = {"date": "2026-11-22", "cores": "2", "processor": "X", "system": "Linux 6", "Python": "3"}
REPORT = Report(MACHINE, ["chatapp-tail", "slow"], ["slow"], Sizes(), 3, RESULTS)


def test_a_report_is_read_as_it_was_written() -> None:
    assert read(REPORT.json()) == REPORT


def test_it_says_what_was_done_and_how_far_the_server_goes() -> None:
    for told in (REPORT.text(), REPORT.markdown()):
        assert "200,000 for throughput" in told
        assert "slow, being slow, get a tenth of them." in told
        assert "The load server alone sends 5,000,000 events/s over ws." in told
        assert "2026-11-22, 2 cores of X, Linux 6, Python 3." in told


def test_the_limit_is_a_column_of_the_text_only() -> None:
    assert LIMIT in REPORT.text()
    assert LIMIT not in REPORT.markdown()


def test_a_processor_has_a_name() -> None:
    assert processor("vendor_id\t: AMD\nmodel name\t: EPYC: 7\nmodel name\t: Y\n") == "EPYC: 7"
    assert processor("CPU implementer : 0x41\n") == "an unknown processor"


def test_this_machine_is_known() -> None:
    known = machine(date(2026, 11, 22))
    assert known["date"] == "2026-11-22"
    assert int(known["cores"]) > 0
    assert f"Python {known['Python']}" in sentence(known)
