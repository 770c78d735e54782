"""The embedded stack, as its users see it."""


def test_settings_lead_to_the_stack(stack, settings):
    assert settings.kafka.bootstrap_servers == stack.servers["kafka"].address
    assert f"{settings.redis.host}:{settings.redis.port}" == stack.servers["redis"].address
    assert settings.s3.endpoint_url == f"http://{stack.servers['s3'].address}"
    for database in (settings.main_db, settings.vector_db):
        assert f"{database.host}:{database.port}" == stack.servers["postgres"].address
