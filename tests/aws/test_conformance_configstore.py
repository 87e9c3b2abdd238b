"""The whole suite for stores of config documents, against AppConfig."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aws.appconfig_kit import Place, place
from aws.parts import Servers
from mlconsole.core.clock import SystemClock
from mlconsole.plugin.conformance import ConfigBench, ConfigStoreConformance


@pytest.fixture(scope="module")
def there(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    servers.reset()
    yield place(servers, tmp_path_factory.mktemp("appconfig"), document="conformance")
    servers.reset()


class TestAppConfig(ConfigStoreConformance):
    """Every check, one document for all of them."""

    @pytest.fixture
    def bench(self, there: Place) -> ConfigBench:
        return ConfigBench(there.store(), SystemClock(), poll=0.02, backend_calls=lambda: sum(there.servers.calls().values()))
