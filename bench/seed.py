"""Many users, chats and messages by SQL, the same for both services: they have the same tables."""

from bench.postgres import connected

LONG_EVERY = 100  # every hundredth chat has more than a page of messages …
LONG_MESSAGES = 203
SHORT_MESSAGES = 3  # … the others three: five a chat in the mean
RARE_WORD = "rarity"  # in the texts of the first RARE_CHATS chats and the names of RARE_USERS users, whatever the size …
RARE_CHATS, RARE_USERS = 200, 20  # … so 1,000 messages and some people are found by it
TABLES = ("users", "support_chats", "support_messages")

USERS = """
INSERT INTO users (id, kind, external_id, email, name, created_at, updated_at)
SELECT {user}, 'host', 'bench-' || n, 'bench-' || n || '@example.com',
       'User ' || n || CASE WHEN n < {rare_users} THEN ' {rare_word}' ELSE '' END, {began}, {began}
FROM generate_series(0, %(chats)s - 1) AS n
"""
CHATS = """
INSERT INTO support_chats (id, user_id, last_seq, read_up_to, last_message_at, last_user_message_at,
                           admin_viewed_at, archived_at, created_at, updated_at)
SELECT {chat}, {user}, {size}, {size} - 3, {last}, {last},
       CASE WHEN n %% 10 <> 0 THEN {last} END, CASE WHEN n %% 20 = 7 THEN {last} END, {began}, {last}
FROM generate_series(0, %(chats)s - 1) AS n
"""
MESSAGES = """
INSERT INTO support_messages (id, chat_id, seq, client_id, content, sender_type, sender_id, read_at,
                              created_at, updated_at)
SELECT {message}, {chat}, seq, 'bm-' || lpad((n * 1000 + seq)::text, 10, '0'),
       'Message ' || seq || ' of chat ' || n || ', of an ordinary length, as people write.'
           || CASE WHEN n < {rare_chats} THEN ' A {rare_word}.' ELSE '' END,
       CASE WHEN seq %% 2 = 0 THEN 'admin' ELSE 'user' END, {user},
       CASE WHEN seq %% 2 = 0 AND seq <= {size} - 3 THEN {last} END, {at}, {at}
FROM generate_series(0, %(chats)s - 1) AS n, generate_series(1, {size}) AS seq
"""

PARTS = {
    "user": "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid",
    "chat": "('00000000-0000-7000-8001-' || lpad(to_hex(n), 12, '0'))::uuid",
    "message": "('00000000-0000-7000-8002-' || lpad(to_hex(n::bigint * 1000 + seq), 12, '0'))::uuid",
    "size": f"CASE WHEN n %% {LONG_EVERY} = 0 THEN {LONG_MESSAGES} ELSE {SHORT_MESSAGES} END",
    "began": "timestamptz '2026-01-01T00:00:00Z'",
    "last": "(timestamptz '2026-01-02T00:00:00Z' + n * interval '1 s')",
}


def seed(url: str, chats: int) -> None:
    """Fill empty tables: users `bench-0` … with one chat each, five messages a chat in the mean."""
    parts = {name: f"({sql})" for name, sql in PARTS.items()}
    parts |= {"rare_word": RARE_WORD, "rare_chats": str(RARE_CHATS), "rare_users": str(RARE_USERS)}
    parts["at"] = "({last} - ({size} - seq) * interval '1 s')".format(**parts)
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for statement in (USERS, CHATS, MESSAGES):
            cursor.execute(statement.format(**parts), {"chats": chats})
        for table in TABLES:
            cursor.execute(f"VACUUM ANALYZE {table}")


def chat_id(number: int) -> str:
    return f"00000000-0000-7000-8001-{number:012x}"


def last_seqs(url: str) -> list[int]:
    """The newest seq of each user's chat, by the users' numbers."""
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT last_seq FROM support_chats ORDER BY id")
        return [seq for (seq,) in cursor.fetchall()]
