"""send → commit → delivered under load, beside the commit rate of pgbench; messages per commit."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.harness import Harness
from bench.load import Load, open_streams_strictly
from bench.messages import Conversation, Delivered
from bench.postgres import PGBENCH_CLIENTS, PGBENCH_TABLE, connected
from bench.process import cpu_seconds
from bench.servers import Server
from bench.table import Row, median, microseconds, milliseconds, percentile, times

SENDERS = 32
CHATS = 500
ROUND_S = 5
ROUNDS = 3
WARM_UP_S = 2
ALONE_MESSAGES = 200
RATE_TARGET = 3.0  # times the reference's messages per second

MESSAGES_PER_COMMIT = """
SELECT count(*)::float / count(DISTINCT xmin::text) FROM support_messages
WHERE client_id BETWEEN 'bm-' || lpad(%s::text, 10, '0') AND 'bm-' || lpad(%s::text, 10, '0')
"""


@dataclass
class Results:
    """Of one server, a value per round."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds per message
    per_commit: list[float] = field(default_factory=list)
    alone_per_commit: float = 0.0


def measure(harness: Harness) -> list[Row]:
    seconds = 1 if harness.quick else ROUND_S
    pgbench_url = harness.cluster.create("bench_pgbench")
    with connected(pgbench_url) as connection, connection.cursor() as cursor:
        cursor.execute(PGBENCH_TABLE)
    commit_rates: list[float] = []
    with ExitStack() as stack:
        servers = stack.enter_context(harness.servers())
        talks = [(server, conversation(stack, server), Results()) for server in servers]
        for _server, conversing, _results in talks:
            conversing.run(seconds=WARM_UP_S)
        for _round in range(harness.rounds(ROUNDS)):
            commit_rates.append(harness.cluster.commit_rate(pgbench_url, seconds))
            for server, conversing, results in talks:
                one_round(server, conversing, results, seconds)
        for server, _conversing, results in talks:
            results.alone_per_commit = alone(server)
    tested, plain = (results for _server, _conversing, results in talks)
    return rows(tested, plain, median(commit_rates))


def conversation(stack: ExitStack, server: Server) -> Conversation:
    load = Load(server.address)
    stack.callback(load.close)
    users = list(range(CHATS))
    open_streams_strictly(load, server.stream_requests(users))
    return Conversation(server, load, users, SENDERS)


def one_round(server: Server, conversing: Conversation, results: Results, seconds: float) -> None:
    used = cpu_seconds(server.pid)
    done = conversing.run(seconds=seconds)
    used = cpu_seconds(server.pid) - used
    results.rates.append(done.rate)
    results.p50.append(percentile(done.latencies, 0.5))
    results.p99.append(percentile(done.latencies, 0.99))
    results.cpu.append(used / len(done.latencies))
    results.per_commit.append(messages_per_commit(server, done))


def alone(server: Server) -> float:
    """Messages per commit when one client sends one message after the other."""
    load = Load(server.address)
    try:
        open_streams_strictly(load, [server.stream_request(0)])
        return messages_per_commit(
            server, Conversation(server, load, [0], 1).run(messages=ALONE_MESSAGES)
        )
    finally:
        load.close()


def messages_per_commit(server: Server, done: Delivered) -> float:
    """What PostgreSQL itself says: rows written by one transaction have the same xmin."""
    with (
        connected(server.service.options["DATABASE_URL"]) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(MESSAGES_PER_COMMIT, (done.first, done.after_last))
        found = cursor.fetchone()
    if found is None or found[0] is None:
        raise ValueError("the messages of the round are not in the database")
    return float(found[0])


def rows(tested: Results, plain: Results, commit_rate: float) -> list[Row]:
    rate, plain_rate = median(tested.rates), median(plain.rates)
    p50, plain_p50 = median(tested.p50), median(plain.p50)
    p99, plain_p99 = median(tested.p99), median(plain.p99)
    cpu, plain_cpu = median(tested.cpu), median(plain.cpu)
    per_commit, plain_per_commit = median(tested.per_commit), median(plain.per_commit)
    loaded = f"{SENDERS} senders, {CHATS} chats with a stream each"
    return [
        Row(
            f"send → commit → delivered, {loaded}",
            f"{rate:,.0f}/s",
            f"≥ {RATE_TARGET:g} ×",
            f"{plain_rate:,.0f}/s",
            times(rate / plain_rate),
            rate / plain_rate >= RATE_TARGET,
        ),
        Row(
            "… p99 from POST to delivery",
            milliseconds(p99),
            "≤ 1 ×",
            milliseconds(plain_p99),
            times(p99 / plain_p99),
            p99 <= plain_p99,
        ),
        Row(
            "… p50",
            milliseconds(p50),
            reference=milliseconds(plain_p50),
            ratio=times(p50 / plain_p50),
        ),
        Row(
            "… server's CPU per message",
            microseconds(cpu),
            reference=microseconds(plain_cpu),
            ratio=times(cpu / plain_cpu),
        ),
        Row(
            f"… against pgbench's commits, {PGBENCH_CLIENTS} clients: {commit_rate:,.0f}/s",
            times(rate / commit_rate),
            reference=times(plain_rate / commit_rate),
        ),
        Row(
            "messages per commit under that load",
            f"{per_commit:.1f}",
            reference=f"{plain_per_commit:.1f}",
        ),
        Row(
            "messages per commit, one client",
            f"{tested.alone_per_commit:g}",
            "exactly 1",
            f"{plain.alone_per_commit:g}",
            passed=tested.alone_per_commit == 1,
        ),
    ]
