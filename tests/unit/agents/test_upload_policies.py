from pathlib import Path

import pytest

from agents.upload_policies import detection_policy, upload_policy
from config.settings import ModelSettings
from domain.decisions.enrolment import EnrolmentPolicy

NOW = detection_policy(ModelSettings(), "yunet")


@pytest.mark.parametrize(
    "changes",
    [
        {"detection_threshold": 0.5}, {"detection_long_side": 1280}, {"min_face_pixels": 10},
        {"max_image_pixels": 9}, {"max_faces": 1}, {"nms_threshold": 0.5},
    ],
)  # fmt: skip
def test_field_08_other_rules_are_another_policy(changes):
    assert detection_policy(ModelSettings(**changes), "yunet") != NOW


def test_field_08_other_models_and_limits_of_enrolment_too():
    assert detection_policy(ModelSettings(), "scrfd-1234") != NOW
    policies = {
        upload_policy(NOW, EnrolmentPolicy(0.35, 40)),
        upload_policy(NOW, EnrolmentPolicy(0.35, 20)),
        upload_policy(NOW, EnrolmentPolicy(0.1, 40)),
        upload_policy("", EnrolmentPolicy(0.35, 40)),
    }
    assert len(policies) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 3}, {"cache_dir": Path("/x")}, {"execution_provider": "cuda"},
        {"match_margin": 0.1}, {"precision": "float32"}, {"detector_precision": "bfloat16"},
        {"embedder_precision": "int8"}, {"embedder_mirror": True}, {"gpu_streams": 9},
        {"match_wanted_fpir": 0.01, "match_impostor_tail": (0.1, 0.08)}, {"gpu_memory_limit": 9},
        {"gpu_convolution_search": "default"}, {"gpu_io_binding": False},
    ],
)  # fmt: skip
def test_where_models_run_and_what_is_a_match_refuses_no_photo(changes):
    assert detection_policy(ModelSettings(**changes), "yunet") == NOW
