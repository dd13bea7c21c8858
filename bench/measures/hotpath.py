"""send → commit → delivered under load, beside the commit rate of pgbench; messages per commit."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.harness import Harness
from bench.load import Load, open_streams_strictly
from bench.messages import Conversation, Delivered
from bench.postgres import PGBENCH_CLIENTS, PGBENCH_TABLE, connected
from bench.process import Used, limit
from bench.servers import Server
from bench.table import Row, cpu, median, median_used, milliseconds, percentile, times

SENDERS = 32
CHATS = 500
ROUND_S = 4
ROUNDS = 3
WARM_UP_S = 2
ALONE_MESSAGES = 200
RATE_TARGET = 3.0  # times the reference's messages per second …
NODE_RATE_TARGET = 2.0  # … and times those of the reference in Node.js
P99_TARGET = 0.7  # of the p99 of the reference in Node.js
CPU_TARGETS_US = (110, 115)  # per message: server, PostgreSQL

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
    spent: list[Used] = field(default_factory=list)  # per message
    limit: str = ""  # of the last round
    per_commit: list[float] = field(default_factory=list)
    alone_per_commit: float = 0.0


def measure(harness: Harness) -> list[Row]:
    seconds = 1 if harness.quick else ROUND_S
    pgbench_url = harness.cluster.create("bench_pgbench")
    with connected(pgbench_url) as connection, connection.cursor() as cursor:
        cursor.execute(PGBENCH_TABLE)
    commit_rates: list[float] = []
    with ExitStack() as stack:
        servers = stack.enter_context(harness.three_servers())
        talks = [(server, conversation(stack, server), Results()) for server in servers]
        for _server, conversing, _results in talks:
            conversing.run(seconds=WARM_UP_S)
        for _round in range(harness.rounds(ROUNDS)):
            commit_rates.append(harness.cluster.commit_rate(pgbench_url, seconds))
            for server, conversing, results in talks:
                one_round(harness, server, conversing, results, seconds)
        for server, _conversing, results in talks:
            results.alone_per_commit = alone(server)
    tested, plain, node = (results for _server, _conversing, results in talks)
    return rows(tested, plain, node, median(commit_rates))


def conversation(stack: ExitStack, server: Server) -> Conversation:
    load = Load(server.address)
    stack.callback(load.close)
    users = list(range(CHATS))
    open_streams_strictly(load, server.stream_requests(users))
    return Conversation(server, load, users, SENDERS)


def one_round(
    harness: Harness, server: Server, conversing: Conversation, results: Results, seconds: float
) -> None:
    before = harness.used(server)
    done = conversing.run(seconds=seconds)
    spent = harness.used(server).since(before)
    results.rates.append(done.rate)
    results.p50.append(percentile(done.latencies, 0.5))
    results.p99.append(percentile(done.latencies, 0.99))
    results.spent.append(spent.per(len(done.latencies)))
    results.limit = limit(spent, done.seconds)
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


def rows(tested: Results, plain: Results, node: Results, commit_rate: float) -> list[Row]:
    return [
        rate_row(tested, plain, node),
        p99_row(tested, plain, node),
        p50_row(tested, plain, node),
        cpu_row(tested, plain, node),
        *commit_rows(tested, plain, node, commit_rate),
    ]


def rate_row(tested: Results, plain: Results, node: Results) -> Row:
    rate, plain_rate, node_rate = (median(one.rates) for one in (tested, plain, node))
    return Row(
        f"send → commit → delivered, {SENDERS} senders, {CHATS} chats with a stream each",
        f"{rate:,.0f}/s",
        f"≥ {RATE_TARGET:g} ×, Node.js ≥ {NODE_RATE_TARGET:g} ×",
        f"{plain_rate:,.0f}/s",
        times(rate / plain_rate),
        rate >= RATE_TARGET * plain_rate and rate >= NODE_RATE_TARGET * node_rate,
        f"{node_rate:,.0f}/s",
        times(rate / node_rate),
        tested.limit,
    )


def p99_row(tested: Results, plain: Results, node: Results) -> Row:
    p99, plain_p99, node_p99 = (median(one.p99) for one in (tested, plain, node))
    return Row(
        "… p99 from POST to delivery",
        milliseconds(p99),
        f"≤ 1 ×, Node.js ≤ {P99_TARGET:g} ×",
        milliseconds(plain_p99),
        times(p99 / plain_p99),
        p99 <= plain_p99 and p99 <= P99_TARGET * node_p99,
        milliseconds(node_p99),
        times(p99 / node_p99),
    )


def p50_row(tested: Results, plain: Results, node: Results) -> Row:
    p50, plain_p50, node_p50 = (median(one.p50) for one in (tested, plain, node))
    return Row(
        "… p50",
        milliseconds(p50),
        reference=milliseconds(plain_p50),
        ratio=times(p50 / plain_p50),
        node=milliseconds(node_p50),
        node_ratio=times(p50 / node_p50),
    )


def cpu_row(tested: Results, plain: Results, node: Results) -> Row:
    spent, plain_spent, node_spent = (median_used(one.spent) for one in (tested, plain, node))
    server_us, postgres_us = CPU_TARGETS_US
    return Row(
        "… CPU per message, server + PostgreSQL",
        cpu(spent),
        f"≤ {server_us} + {postgres_us} µs",
        cpu(plain_spent),
        times(spent.server / plain_spent.server),
        spent.server <= server_us / 1e6 and spent.postgres <= postgres_us / 1e6,
        cpu(node_spent),
        times(spent.server / node_spent.server),
    )


def commit_rows(
    tested: Results, plain: Results, node: Results, commit_rate: float
) -> tuple[Row, ...]:
    found = (tested, plain, node)
    rates = [times(median(one.rates) / commit_rate) for one in found]
    sizes = [f"{median(one.per_commit):.1f}" for one in found]
    alone = [f"{one.alone_per_commit:g}" for one in found]
    return (
        Row(
            f"… against pgbench's commits, {PGBENCH_CLIENTS} clients: {commit_rate:,.0f}/s",
            rates[0],
            reference=rates[1],
            node=rates[2],
        ),
        Row("messages per commit under that load", sizes[0], reference=sizes[1], node=sizes[2]),
        Row(
            "messages per commit, one client",
            alone[0],
            "exactly 1",
            alone[1],
            passed=tested.alone_per_commit == 1,
            node=alone[2],
        ),
    )
