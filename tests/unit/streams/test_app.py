from config.settings import KafkaSettings, WorkerSettings
from streams.app import create_app


async def test_a_worker_leaves_nothing_in_the_directory_it_is_started_in(tmp_path, monkeypatch):
    """It may be a read-only one; Faust would make directories for tables that there are none of."""
    monkeypatch.chdir(tmp_path)
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    await app.on_first_start()
    assert list(tmp_path.iterdir()) == []
