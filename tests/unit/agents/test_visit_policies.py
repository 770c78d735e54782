"""The settings of visits are the rules of the visits agent."""

from dataclasses import fields

from agents.processes.follow_process import visit_policy
from config.settings import LivenessSettings, VisitRules, VisitSettings
from domain.decisions.visits.visit_policy import VisitPolicy


def test_the_defaults_of_the_settings_are_those_of_the_rules():
    assert visit_policy(VisitSettings(), LivenessSettings(), "door") == VisitPolicy()
    assert {one.name for one in fields(VisitPolicy)} == {*VisitRules.model_fields, "gate"}


def test_a_camera_has_its_own_rules():
    settings = VisitSettings.model_validate(
        {"end_after": 5, "by_camera": {"door": {"confirm_faces": 1}}}
    )
    off = LivenessSettings()
    assert visit_policy(settings, off, "door") == VisitPolicy(end_after=5.0, confirm_faces=1)
    assert visit_policy(settings, off, "hall") == VisitPolicy(end_after=5.0)


def test_a_camera_with_a_gate_has_one_in_its_rules():
    liveness = LivenessSettings.model_validate(
        {"model_file": "model.onnx", "mode_by_camera": {"door": "gate", "hall": "observe"}}
    )
    gates = {name: visit_policy(VisitSettings(), liveness, name).gate for name in ("door", "hall")}
    assert gates == {"door": True, "hall": False}
