"""A GPU that is none: sessions that say they run on one, with the CPU provider behind them."""

import onnxruntime
import pytest

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class PretendedGpu:
    """Records how sessions are started; some options may be broken.

    Attributes:
        started: the providers of each start, with their options.
        broken: options that make a start fail, by name; a value of None is any.
        absent: providers that do not start, as where a library is missing.
        sessions: those that were started.
    """

    def __init__(self):
        self.started = []
        self.broken = {}
        self.absent = set()
        self.sessions = []
        self.real = onnxruntime.InferenceSession

    def start(self, path, sess_options, providers, enable_fallback):
        assert not enable_fallback
        if providers == [("CPUExecutionProvider", {})]:
            return self.real(path, sess_options=sess_options, providers=["CPUExecutionProvider"])
        self.started.append(dict(providers))
        for name, options in providers:
            for option, value in options.items():
                assert isinstance(value, str)
                if option in self.broken and self.broken[option] in (None, value):
                    raise RuntimeError(f"{name}: {option} is broken")
        session = self.real(path, sess_options=sess_options, providers=["CPUExecutionProvider"])
        names = [name for name, _ in providers if name not in self.absent]
        session.get_providers = lambda: names
        self.sessions.append(session)
        return session


@pytest.fixture
def gpu(monkeypatch):
    pretended = PretendedGpu()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    monkeypatch.setattr(onnxruntime, "InferenceSession", pretended.start)
    return pretended
