"""The same tables as the service under test, as ordinary Peewee models."""

import datetime
import uuid
from typing import ClassVar

import peewee
from playhouse.postgres_ext import DateTimeTZField

database = peewee.PostgresqlDatabase(None)


def utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class BaseModel(peewee.Model):
    id = peewee.UUIDField(primary_key=True, default=uuid.uuid4)
    created_at = DateTimeTZField(default=utcnow)
    updated_at = DateTimeTZField(default=utcnow)

    class Meta:
        database = database


class User(BaseModel):
    kind = peewee.TextField(default="host")
    external_id = peewee.TextField(unique=True)
    email = peewee.TextField(null=True)
    name = peewee.TextField(null=True)

    class Meta:
        table_name = "users"


class SupportChat(BaseModel):
    user_id: uuid.UUID
    user = peewee.ForeignKeyField(User, unique=True)
    last_seq = peewee.IntegerField(default=0)
    read_up_to = peewee.IntegerField(default=0)
    last_message_at = DateTimeTZField(null=True, index=True)
    last_user_message_at = DateTimeTZField(null=True)
    admin_viewed_at = DateTimeTZField(null=True)
    archived_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "support_chats"


class SupportMessage(BaseModel):
    chat = peewee.ForeignKeyField(SupportChat, index=False)
    seq = peewee.IntegerField()
    client_id = peewee.TextField(null=True)
    content = peewee.TextField()
    sender_type = peewee.TextField()
    sender = peewee.ForeignKeyField(User)
    read_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "support_messages"
        indexes: ClassVar = (
            (("chat", "seq"), True),
            (("chat", "client_id"), True),
            (("chat", "created_at"), False),
        )


TABLES = [User, SupportChat, SupportMessage]
