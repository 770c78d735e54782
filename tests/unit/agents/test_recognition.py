from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import pytest

from agents.identify.recognition import Judge, Probe
from domain.decisions.matching import MatchPolicy
from ml.gallery.exact_search import Gallery

POLICY = MatchPolicy(threshold=0.4, margin=0.05)


async def test_each_probe_of_a_batch_gets_its_own_decision():
    templates = np.eye(8, dtype=np.float32)
    gallery = Gallery("m", 8)
    gallery.apply([(UUID(int=number), templates[number]) for number in range(3)])
    probes = [
        Probe(templates[2]),
        Probe(templates[7]),
        Probe(templates[0]),
        Probe(templates[0], reliable=False),
    ]
    with ThreadPoolExecutor(1) as executor:
        found = await Judge(gallery, POLICY).recognise(probes, executor)
    assert [(one.decision.user_id, one.decision.reason) for one in found] == [
        (UUID(int=2), "matched"),
        (None, "below_threshold"),
        (UUID(int=0), "matched"),
        (None, "unreliable"),
    ]
    assert found[3].decision.similarity == pytest.approx(1.0)
    assert found[0].candidates[0].user_id == UUID(int=2)
    assert len(found[0].candidates) == 3
