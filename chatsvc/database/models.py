"""The tables as Peewee models: fields, indexes, constraints, no behaviour.

No model is bound to a database, so a query needs one, `query.execute(connection.database)`, which
exists on database threads only. migrations/ creates the tables; a test compares the two.
"""

from peewee import SQL, Check, ForeignKeyField, IntegerField, Model, Node, TextField, UUIDField
from playhouse.postgres_ext import DateTimeTZField

NOW: list[Node] = [SQL("DEFAULT clock_timestamp()")]


class User(Model):
    """A person: `host` (has an identity token), `visitor` (has a visitor token) or `staff`."""

    id = UUIDField(primary_key=True)
    kind = TextField(constraints=[Check("kind IN ('host', 'visitor', 'staff')")])
    external_id = TextField(null=True, unique=True)  # the host application's user id, `sub`
    email = TextField(null=True)
    name = TextField(null=True)
    password_hash = TextField(null=True)  # argon2id, staff only
    # `iat` of the newest identity token seen; an older one changes nothing
    claims_issued_at = DateTimeTZField(null=True)
    language = TextField(null=True)  # in languages/; last sent by the browser, or chosen
    email_opted_out_at = DateTimeTZField(null=True)
    # an address that the mail server rejected for good; not tried while it is the user's
    email_refused = TextField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "users"


class EmailAddress(Model):
    """An address that gets no e-mails to visitors, whichever visitor enters it."""

    digest = TextField(primary_key=True, unique=True)  # of text/email_address.py
    opted_out_at = DateTimeTZField(null=True)
    refused_at = DateTimeTZField(null=True)  # by the mail server for good

    class Meta:
        table_name = "email_addresses"


class StaffSession(Model):
    """A login in one browser. Only the hash of the cookie's token is stored."""

    id = UUIDField(primary_key=True)
    user = ForeignKeyField(User, backref="sessions", on_delete="CASCADE")
    token_hash = TextField(unique=True)
    created_at = DateTimeTZField(constraints=NOW)
    last_seen_at = DateTimeTZField(constraints=NOW)
    user_agent = TextField(null=True)

    class Meta:
        table_name = "staff_sessions"


class StaffToken(Model):
    """A token for staff's own scripts. Only its hash is stored."""

    id = UUIDField(primary_key=True)
    user = ForeignKeyField(User, backref="tokens", on_delete="CASCADE")
    token_hash = TextField(unique=True)
    created_at = DateTimeTZField(constraints=NOW)
    revoked_at = DateTimeTZField(null=True)
    name = TextField(null=True)
    last_used_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "staff_tokens"


class SupportChat(Model):
    """A user's one chat. `last_seq` numbers its messages; inserting one needs this row's lock."""

    id = UUIDField(primary_key=True)
    user = ForeignKeyField(User, unique=True)
    last_seq = IntegerField(default=0)
    read_up_to = IntegerField(default=0)  # the newest staff message that the user has read
    last_message_at = DateTimeTZField(null=True)
    last_user_message_at = DateTimeTZField(null=True)
    admin_viewed_at = DateTimeTZField(null=True)
    archived_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "support_chats"


class SupportMessage(Model):
    """One message. `seq` is 1, 2, 3 … in a chat, in the order of commits, without gaps."""

    id = UUIDField(primary_key=True)
    chat = ForeignKeyField(SupportChat, index=False)
    seq = IntegerField()
    client_id = TextField(null=True)
    content = TextField()
    sender_type = TextField(constraints=[Check("sender_type IN ('user', 'admin')")])
    sender = ForeignKeyField(User)
    read_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()

    class Meta:
        table_name = "support_messages"
        indexes = (
            (("chat", "seq"), True),
            (("chat", "client_id"), True),
            (("chat", "created_at"), False),
        )


class SupportNotice(Model):
    """An e-mail about messages that the user has not read; at most one is pending per chat."""

    id = UUIDField(primary_key=True)
    chat = ForeignKeyField(SupportChat)
    first_seq = IntegerField()
    due_at = DateTimeTZField()
    state = TextField(
        default="pending",
        constraints=[Check("state IN ('pending', 'claimed', 'sent', 'cancelled', 'failed')")],
    )
    claimed_until = DateTimeTZField(null=True)
    attempts = IntegerField(default=0)
    next_try_at = DateTimeTZField(null=True)
    message_id = TextField(null=True)
    up_to_seq = IntegerField(null=True)
    sent_at = DateTimeTZField(null=True)
    reason = TextField(null=True)
    created_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "support_notices"


MODELS = (User, EmailAddress, StaffSession, StaffToken, SupportChat, SupportMessage, SupportNotice)
