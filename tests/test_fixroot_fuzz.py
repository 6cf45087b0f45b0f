"""Random configurations and requests, jailed against unjailed: see
sectionfuzz.py.  FIXROOT_SEED and FIXROOT_CASES choose others."""
import os
import time

import pytest

import sectionfuzz

SEED = int(os.environ.get("FIXROOT_SEED", "1"))
CASES = int(os.environ.get("FIXROOT_CASES", "280"))
BATCHES = 4


@pytest.fixture
def runner(builds, directory):
    return sectionfuzz.Runner(directory(), builds.variant("late"))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_denied_is_granted_by_random_configurations(runner, batch):
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
    assert runner.judged > count * 0.3 and runner.denied > count
