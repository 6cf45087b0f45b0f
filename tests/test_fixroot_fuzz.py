"""Random configurations and requests, jailed against unjailed: see
sectionfuzz.py.  FIXROOT_SEED, FIXROOT_CASES and FIXROOT_MODE choose others."""
import os
import time

import pytest

import sectionfuzz

SEED = int(os.environ.get("FIXROOT_SEED", "90000"))
CASES = int(os.environ.get("FIXROOT_CASES", "148"))
MODE = os.environ.get("FIXROOT_MODE")
BATCHES = 4
MODES = ["On"] * BATCHES + ["Mount"]


@pytest.mark.parametrize("batch, mode", list(enumerate(MODES)))
def test_nothing_denied_is_granted_by_random_configurations(
        builds, directory, batch, mode):
    """With Mount every answer is the same, wherever mappings lead."""
    runner = sectionfuzz.Runner(directory(), builds.variant("late"),
                                MODE or mode)
    count = CASES // BATCHES
    first = SEED + batch * count
    began = time.monotonic()
    for seed in range(first, first + count):
        case, findings = runner.seed(seed)
        if findings:
            case, findings = runner.minimal(seed, findings[0][0])
            pytest.fail(sectionfuzz.describe(case, findings), pytrace=False)
    print(f"seeds {first} to {first + count - 1}: {runner.judged} compared, "
          f"{runner.denied} answers denied, {runner.refused} refused, "
          f"{time.monotonic() - began:.0f} s")
    assert not runner.refused, sectionfuzz.said(runner.said[-1])
    assert not runner.broken and runner.denied > count * 3
