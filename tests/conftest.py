"""Fixtures for every tier: one server a session, a fresh migrated database a test."""

from collections.abc import Iterator

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support import postgres
from tests.support.postgres import Connection
from tests.support.worker_process import Bench


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Give the DSN of the embedded server's maintenance database."""
    with postgres.running_server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """Give the name of a migrated template database."""
    return postgres.make_template(server)


@pytest.fixture
def dsn(server: str, template: str) -> Iterator[str]:
    """Give the DSN of a fresh, migrated database; its password is the canary."""
    with postgres.fresh_database(server, template) as address:
        yield address


@pytest.fixture
def empty_dsn(server: str) -> Iterator[str]:
    """Give the DSN of a fresh database without the schema."""
    with postgres.fresh_database(server) as address:
        yield address


@pytest.fixture
def conn(dsn: str) -> Iterator[Connection]:
    """Give an autocommit connection of the owner to a fresh, migrated database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    """Give a bench of workers on a fresh, migrated database; none outlives the test."""
    with Bench(dsn) as bench:
        yield bench


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Collect spans from now on: once a process, OpenTelemetry allows no second provider."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter
