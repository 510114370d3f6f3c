"""What the load generator is told, and what it tells."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Order:
    """With a rate, requests leave on time whether or not earlier ones are answered, on as many connections as it takes
    but no more than `connections`; without one, each connection sends when its last request is answered."""

    port: int
    requests: str
    connections: int
    warm_up: float
    seconds: float
    pid: int
    database: str
    rate: float | None = None
    patience: float = 10


@dataclass(slots=True)
class Tally:
    """What was answered while it counted. CPU is in seconds, latencies in milliseconds."""

    seconds: float = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    server_cpu: float = 0
    postgres_cpu: float | None = None
    client_cpu: float = 0
    rss: float = 0
    fault: str | None = None
