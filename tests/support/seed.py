"""Many messages at once, put into the tables beside the service."""

from tests.support.postgres import execute


def seed_messages(
    database_url: str, chat_id: str, count: int, *, sender_type: str = "user"
) -> None:
    """Gives an empty chat `count` messages "m1", "m2", … one second apart, the newest now."""
    execute(
        database_url,
        """
        INSERT INTO support_messages (id, chat_id, seq, content, sender_type, sender_id, created_at, updated_at)
        SELECT gen_random_uuid(), c.id, n, 'm' || n, %s, c.user_id, moment, moment
        FROM support_chats c, generate_series(1, %s) n,
             LATERAL (SELECT now() - (%s - n) * interval '1 second' AS moment) t
        WHERE c.id = %s
        """,
        sender_type,
        count,
        count,
        chat_id,
    )
    execute(
        database_url,
        """
        UPDATE support_chats c SET last_seq = m.seq, last_message_at = m.created_at,
            last_user_message_at = CASE WHEN m.sender_type = 'user' THEN m.created_at END
        FROM support_messages m WHERE c.id = %s AND m.chat_id = c.id AND m.seq = %s
        """,
        chat_id,
        count,
    )
