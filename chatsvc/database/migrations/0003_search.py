"""Search of people and messages by words; details of sessions and tokens for the account page."""

from typing import Any

# What separates words, besides white space. Without it `simple` keeps an e-mail address or a path as
# one word, so that "ada" does not find ada@example.com. text/search_terms.py splits queries alike.
SEPARATORS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—\u2018’\u201a“”„…·•、。「」\u00a0\u2009\u202f\u3000\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"

# The insert that fills the pending list also empties it: 120 ms for the default of 4 MB, 30 ms for
# 256 KiB.
SCHEMA = f"""
CREATE FUNCTION search_words(text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    SELECT to_tsvector('pg_catalog.simple', translate($1, $separators${SEPARATORS}$separators$, '{" " * len(SEPARATORS)}'))
$function$;
CREATE INDEX support_messages_search ON support_messages
    USING gin (search_words(content)) WITH (gin_pending_list_limit = 256);
CREATE INDEX users_search ON users
    USING gin (search_words(coalesce(email, '') || ' ' || coalesce(name, ''))) WITH (gin_pending_list_limit = 256)
    WHERE kind <> 'staff';

ALTER TABLE staff_sessions ADD COLUMN user_agent text;
ALTER TABLE staff_tokens ADD COLUMN name text, ADD COLUMN last_used_at timestamptz;
"""


def up(migrator: Any, db: Any) -> None:
    db.cursor().execute(SCHEMA)  # as it is: with parameters, even none, a % would stand for one
