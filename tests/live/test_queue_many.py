"""Thousands of mails queued to a destination that is dead delay nobody, are all there after a restart,
and `postern queue` tells of each (OUT-03). tests/bench/queue100k has the figures of 100,000.
"""
import sys

import pytest

from lab import proc

sys.path.insert(0, str(proc.REPOSITORY / "tests/bench"))

MAILS = 3000


@pytest.mark.slow
def test_three_thousand_to_a_dead_one(posternd, nsd, tmp_path):
    import queue100k
    if not (proc.build_dir() / "bin/queue_fill").exists():
        pytest.skip("queue_fill is not built")
    nsd.set(queue100k.ZONES)
    nsd.restart()
    tmp_path.chmod(0o755)
    found = queue100k.run(nsd.trust_file, tmp_path / "spool", MAILS, 2000, 10, 3)
    assert found["live_max_s"] < queue100k.AIM_LIVE_S, found
    assert found["ready_s"] < 10, found  # sanitizers, and a busy machine
    assert "refused" in found["why"].lower() or "not tried" in found["why"].lower(), found["why"]
