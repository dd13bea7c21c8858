"""Every option by every door, every wrong value with its words, and no secret in any of them."""

import multiprocessing
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsvc.config.config import OPTIONS, Config, ConfigError, load, load_or_create_secret
from chatsvc.config.options import Option

KEY = "k" * 32
OTHER_KEY = "ö" * 16
VALUES: dict[str, tuple[str, Any]] = {
    "DATABASE_URL": (
        "postgresql://u:p@db.example:5433/chat",
        "postgresql://u:p@db.example:5433/chat",
    ),
    "BUS_URL": (
        "rediss://u:p@bus.example:6380?ssl_ca_certs=ca.pem",
        "rediss://u:p@bus.example:6380?ssl_ca_certs=ca.pem",
    ),
    "DATA_DIR": ("/srv/chat data", Path("/srv/chat data")),
    "HOST": ("::1", "::1"),
    "PORT": ("0", 0),
    "PUBLIC_URL": ("https://chat.example.com", "https://chat.example.com"),
    "NAME": ("Müller & Søn 👩‍💻", "Müller & Søn 👩‍💻"),
    "SECRET_KEY": (KEY, KEY.encode()),
    "IDENTITY_SECRETS": (f"{KEY}, {OTHER_KEY}", (KEY.encode(), OTHER_KEY.encode())),
    "ALLOWED_ORIGINS": (
        "https://a.example:443, http://localhost:3000,https://a.example,http://[::1]:80",
        ("https://a.example", "http://localhost:3000", "http://[::1]"),
    ),
    "VISITORS": ("No", False),
    "CHAT_PAGE_URL": (
        "https://www.example.com/help?from=mail",
        "https://www.example.com/help?from=mail",
    ),
    "SMTP_URL": ("smtps://me:p%40ss@mail.example:465", "smtps://me:p%40ss@mail.example:465"),
    "MAIL_FROM": ("Ärzte <help@example.com>", "Ärzte <help@example.com>"),
    "EMAIL_DELAY_S": ("0", 0),
    "EMAIL_MIN_INTERVAL_S": ("604800", 604_800),
    "MESSAGE_RATE_USER": ("0", 0),
    "MESSAGE_RATE_STAFF": ("1", 1),
    "MESSAGE_RATE_ADDRESS": ("1000000", 1_000_000),
    "VISITOR_RATE_ADDRESS": ("2", 2),
    "STREAMS_PER_USER": ("3", 3),
    "STREAMS_PER_STAFF": ("4", 4),
    "STREAMS_PER_ADDRESS": ("100000", 100_000),
    "READ_RATE_USER": ("0", 0),
    "READ_RATE_ADDRESS": ("1000000", 1_000_000),
    "TRUSTED_PROXIES": (
        "127.0.0.1, 10.0.0.0/8,2001:DB8::/32",
        ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32"),
    ),
    "LOG_FORMAT": ("json", "json"),
    "LOG_REQUESTS": ("all", "all"),
    "DEMO": ("TRUE", True),
}
SECRET = "must be at least 32 bytes long; `openssl rand -hex 32` prints a suitable one"
ORIGIN = (
    "must be an origin such as https://www.example.com (scheme and lower-case host, without a path)"
)
DATABASE = "must have the form postgresql://user:password@host:5432/database"
BUS = "must have the form redis://user:password@host:6379, or rediss://… for TLS"
PERCENT = "special characters in user and password must be percent-encoded"
SMTP = (
    "must have the form smtp://user:password@host:587, smtps://user:password@host:465 "
    f"or smtp://host:25?tls=off; {PERCENT}"
)
NO_PATH = "must be a URL without a path or final slash, such as https://chat.example.com"
PAGE = "must be the URL of a page, without #fragment, such as https://www.example.com/help"
MAILBOX = "must be one mailbox such as Support <support@example.com>"
PROXY = "must be an address or network, such as 127.0.0.1 or 10.0.0.0/8"
LISTEN = "must be an IP address or a host name, such as 127.0.0.1 or ::"
ONE_LINE = "must be one line of UTF-8 text without control characters"

by_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return str(caught.value).splitlines()


def test_defaults_are_those_of_the_contract() -> None:
    config = load({})
    assert config == Config(
        database_url=None,
        bus_url=None,
        data_dir=Path("var"),
        host="127.0.0.1",
        port=8888,
        public_url="http://localhost:8888",
        name="Support",
        secret_key=None,
        identity_secrets=(),
        allowed_origins=(),
        visitors=True,
        chat_page_url="http://localhost:8888",
        smtp_url=None,
        mail_from="Support <support@localhost>",
        email_delay_s=300,
        email_min_interval_s=3600,
        message_rate_user=30,
        message_rate_staff=300,
        message_rate_address=600,
        visitor_rate_address=1,
        streams_per_user=5,
        streams_per_staff=20,
        streams_per_address=200,
        read_rate_user=600,
        read_rate_address=3000,
        trusted_proxies=(),
        log_format="text",
        log_requests="errors",
        demo=False,
    )


def test_the_table_is_the_struct() -> None:
    assert tuple(option.field for option in OPTIONS) == Config.__struct_fields__
    assert set(VALUES) == {option.name for option in OPTIONS}


def test_derived_defaults_follow_what_they_derive_from() -> None:
    assert load({"CHATSVC_PORT": "9000"}).chat_page_url == "http://localhost:9000"
    assert load({"CHATSVC_PUBLIC_URL": "https://c.example"}).chat_page_url == "https://c.example"
    assert load({"CHATSVC_PORT": "0"}).public_url == "http://localhost:0"


@by_option
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_every_option_by_every_door(option: Option, ending: str, tmp_path: Path) -> None:
    text, value = VALUES[option.name]
    file, credentials, capitals = (
        tmp_path / "value",
        tmp_path / "credentials",
        tmp_path / "capitals",
    )
    credentials.mkdir()
    capitals.mkdir()
    for path in (file, credentials / option.field, capitals / option.name):
        path.write_bytes((text + ending).encode())
    for environ in (
        {f"CHATSVC_{option.name}": text},
        {f"CHATSVC_{option.name}_FILE": str(file)},
        {"CREDENTIALS_DIRECTORY": str(credentials)},
        {"CREDENTIALS_DIRECTORY": str(capitals)},
    ):
        assert getattr(load(environ), option.field) == value


@by_option
def test_an_empty_variable_is_the_default(option: Option) -> None:
    assert load({f"CHATSVC_{option.name}": "", f"CHATSVC_{option.name}_FILE": ""}) == load({})


@by_option
def test_an_option_given_twice_is_refused(option: Option, tmp_path: Path) -> None:
    text, _ = VALUES[option.name]
    file = tmp_path / option.field
    file.write_text(text)
    variable = f"CHATSVC_{option.name}"
    by_both = {variable: text, f"{variable}_FILE": str(file)}
    assert problems(by_both) == [
        f"{variable}: set more than once, as {variable} and {variable}_FILE={file}; set it once"
    ]
    by_credential = {variable: text, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert problems(by_credential) == [
        f"{variable}: set more than once, as {variable} and {variable} in {file}; set it once"
    ]


@pytest.mark.parametrize(
    ("name", "given", "rule"),
    [
        ("HOST", "*", LISTEN),
        ("HOST", "http://localhost", LISTEN),
        ("PORT", "65536", "must be a whole number from 0 to 65535"),
        ("PORT", "-1", "must be a whole number from 0 to 65535"),
        ("PORT", "٨٨", "must be a whole number from 0 to 65535"),
        ("PORT", "9" * 60, "must be a whole number from 0 to 65535"),
        ("PUBLIC_URL", "chat.example.com", NO_PATH),
        ("PUBLIC_URL", "ftp://chat.example.com", NO_PATH),
        ("PUBLIC_URL", "https://chat.example.com/", NO_PATH),
        ("PUBLIC_URL", "https://chat.example.com/chat", NO_PATH),
        ("PUBLIC_URL", "https://chat.example.com?x", NO_PATH),
        ("PUBLIC_URL", "https://chat.example.com:65536", NO_PATH),
        ("NAME", "x" * 61, "must be at most 60 characters long"),
        ("VISITORS", "maybe", "must be on or off"),
        ("CHAT_PAGE_URL", "javascript:alert(1)", PAGE),
        ("CHAT_PAGE_URL", "https://", PAGE),
        ("CHAT_PAGE_URL", "https://www.example.com/#chat", PAGE),
        ("CHAT_PAGE_URL", "/help", PAGE),
        ("MAIL_FROM", "Support", MAILBOX),
        ("MAIL_FROM", "a@example.com, b@example.com", MAILBOX),
        ("MAIL_FROM", "Müller, Eva <eva@example.com>", MAILBOX),
        ("MAIL_FROM", "<support@>", MAILBOX),
        ("MAIL_FROM", "jürgen@example.com", MAILBOX),
        ("MAIL_FROM", f"a@{'x' * 64}.example.com", MAILBOX),
        ("MAIL_FROM", "a@ü_ü.example", MAILBOX),
        ("EMAIL_DELAY_S", "5m", "must be a whole number from 0 to 604800"),
        ("EMAIL_MIN_INTERVAL_S", "604801", "must be a whole number from 0 to 604800"),
        ("MESSAGE_RATE_USER", "1.5", "must be a whole number from 0 to 1000000"),
        ("MESSAGE_RATE_STAFF", "x", "must be a whole number from 0 to 1000000"),
        ("MESSAGE_RATE_ADDRESS", "1000001", "must be a whole number from 0 to 1000000"),
        ("VISITOR_RATE_ADDRESS", "+1", "must be a whole number from 0 to 1000000"),
        ("STREAMS_PER_USER", "1_0", "must be a whole number from 0 to 100000"),
        ("STREAMS_PER_STAFF", "many", "must be a whole number from 0 to 100000"),
        ("STREAMS_PER_ADDRESS", "100001", "must be a whole number from 0 to 100000"),
        ("LOG_FORMAT", "JSON", "must be text or json"),
        ("LOG_REQUESTS", "none", "must be errors or all"),
        ("DEMO", "2", "must be on or off"),
    ],
)
def test_an_error_names_the_option_the_rule_and_the_value(name: str, given: str, rule: str) -> None:
    assert problems({f"CHATSVC_{name}": given}) == [f"CHATSVC_{name}: {rule}, not '{given}'"]


@pytest.mark.parametrize(
    ("name", "given", "rule", "place", "item"),
    [
        ("ALLOWED_ORIGINS", "*", ORIGIN, "1 of 1", "*"),
        ("ALLOWED_ORIGINS", "null", ORIGIN, "1 of 1", "null"),
        (
            "ALLOWED_ORIGINS",
            "https://a.example,https://B.example",
            ORIGIN,
            "2 of 2",
            "https://B.example",
        ),
        ("ALLOWED_ORIGINS", "https://a.example/", ORIGIN, "1 of 1", "https://a.example/"),
        ("ALLOWED_ORIGINS", "https://u@a.example", ORIGIN, "1 of 1", "https://u@a.example"),
        ("ALLOWED_ORIGINS", "https://*.example", ORIGIN, "1 of 1", "https://*.example"),
        ("ALLOWED_ORIGINS", "https://a.example:99999", ORIGIN, "1 of 1", "https://a.example:99999"),
        ("TRUSTED_PROXIES", "localhost", PROXY, "1 of 1", "localhost"),
        ("TRUSTED_PROXIES", "127.0.0.1,10.0.0.1/8", PROXY, "2 of 2", "10.0.0.1/8"),
    ],
)
def test_an_error_in_a_list_names_the_item(
    name: str, given: str, rule: str, place: str, item: str
) -> None:
    assert problems({f"CHATSVC_{name}": given}) == [
        f"CHATSVC_{name}: item {place} {rule}, not '{item}'"
    ]


@pytest.mark.parametrize(
    ("name", "given", "rule"),
    [
        ("DATABASE_URL", "mysql://u:hunter2@db/chat", DATABASE),
        (
            "BUS_URL",
            "http://u:hunter2@bus",
            f"{BUS}; {PERCENT}",
        ),
        ("BUS_URL", "redis://", f"{BUS}; {PERCENT}"),
        (
            "BUS_URL",
            "redis://u:hunter2@bus/1",
            f"{BUS}, without a database number: channels belong to no database",
        ),
        (
            "BUS_URL",
            "redis://u:hunter2@bus?protocol=3",
            f"{BUS}; only rediss:// takes parameters: "
            "?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE",
        ),
        ("DATABASE_URL", "host=db password=hunter2", DATABASE),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2%zz@db/chat",
            f"{DATABASE}; {PERCENT}",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@db:99999/chat",
            f"{DATABASE}, with a port from 1 to 65535",
        ),
        ("SECRET_KEY", "hunter2", SECRET),
        ("SMTP_URL", "mail.example:hunter2", SMTP),
        ("SMTP_URL", "smtp://u:hunter2", SMTP),
        ("SMTP_URL", "smtp://u:hunter2@/", SMTP),
        ("SMTP_URL", "smtp://u:hunter2@mail.example/inbox", SMTP),
        (
            "SMTP_URL",
            "smtp://:hunter2@mail.example",
            f"must contain both user and password, or neither; {PERCENT}",
        ),
        (
            "SMTP_URL",
            "smtp://u:hunter2@mail.example?tls=no",
            "must end after the host and port, or with ?tls=off if it is smtp://",
        ),
        (
            "SMTP_URL",
            "smtps://u:hunter2@mail.example?tls=off",
            "must end after the host and port, or with ?tls=off if it is smtp://",
        ),
    ],
)
def test_an_invalid_secret_is_measured_but_not_shown(name: str, given: str, rule: str) -> None:
    assert problems({f"CHATSVC_{name}": given}) == [
        f"CHATSVC_{name}: {rule} (the value has {len(given)} bytes)"
    ]


def test_an_invalid_secret_in_a_list_is_measured_but_not_shown() -> None:
    assert problems({"CHATSVC_IDENTITY_SECRETS": f"{KEY},hunter2"}) == [
        f"CHATSVC_IDENTITY_SECRETS: item 2 of 2 {SECRET} (the value has 7 bytes)"
    ]


def test_a_long_wrong_value_is_cut() -> None:
    (line,) = problems({"CHATSVC_LOG_FORMAT": "x" * 5000})
    assert line == f"CHATSVC_LOG_FORMAT: must be text or json, not '{'x' * 80}…'"


@by_option
@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b", "\u2028", "\udc80"])
def test_control_characters_are_refused_and_stay_out_of_the_message(
    option: Option, character: str
) -> None:
    (line,) = problems({f"CHATSVC_{option.name}": f"a{character}b"})
    assert ONE_LINE in line
    assert character not in line


def test_a_file_that_gives_nothing_is_refused(tmp_path: Path) -> None:
    empty, binary, missing = tmp_path / "empty", tmp_path / "binary", tmp_path / "missing"
    empty.write_text("\n")
    binary.write_bytes(b"\xff" * 40)
    unreadable = "must be a readable file that contains the value"
    for path, problem in (
        (empty, "the file must contain the value, but it is empty"),
        (binary, "the file must contain UTF-8 text"),
        (missing, f"{unreadable} (No such file or directory)"),
        (tmp_path, f"{unreadable} (Is a directory)"),
    ):
        line = f"CHATSVC_SECRET_KEY_FILE={path}: {problem}"
        assert problems({"CHATSVC_SECRET_KEY_FILE": str(path)}) == [line]


def test_an_unknown_name_is_refused_with_the_nearest_known_one_and_without_its_value() -> None:
    assert problems(
        {
            "CHATSVC_SECRETKEY": "hunter2",
            "CHATSVC_SMTP_URL_FIEL": "/x",
            "CHATSVC_": "y",
            "OTHER": "z",
        }
    ) == [
        "CHATSVC_: unknown option; README.md lists all options",
        "CHATSVC_SECRETKEY: unknown option; did you mean CHATSVC_SECRET_KEY?",
        "CHATSVC_SMTP_URL_FIEL: unknown option; did you mean CHATSVC_SMTP_URL_FILE?",
    ]


def test_all_problems_are_told_at_once_and_none_follows_from_another() -> None:
    environ = {f"CHATSVC_{name}": "\x00" for name in VALUES} | {"CHATSVC_NAMES": "x"}
    lines = problems(environ)
    assert [line.split(":")[0] for line in lines] == [
        "CHATSVC_NAMES",
        *(option.variable for option in OPTIONS),
    ]


@given(st.from_regex(r"[a-zA-Z0-9@:/?#%&=. -]{12,60}", fullmatch=True))
def test_no_secret_is_ever_told(secret: str) -> None:
    environ = {
        "CHATSVC_SECRET_KEY": secret[:31],
        "CHATSVC_IDENTITY_SECRETS": secret[:31],
        "CHATSVC_DATABASE_URL": f"postgresql://u:{secret}@db:x/chat",
        "CHATSVC_BUS_URL": f"redis://{secret}@",
        "CHATSVC_SMTP_URL": f"smtp://{secret}@",
    }
    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert secret[:12] not in str(caught.value)


def test_the_configuration_can_be_printed_without_its_secrets() -> None:
    config = load({f"CHATSVC_{name}": text for name, (text, _) in VALUES.items()})
    printed = repr(config)
    assert "chat.example.com" in printed
    assert not re.search(f"{KEY}|{OTHER_KEY}|u:p@|p%40ss", printed + str(config))


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "var"
    secret = load_or_create_secret(folder)
    assert len(secret) >= 32
    assert load_or_create_secret(folder) == secret
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_or_create_secret(tmp_path / "other") != secret


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(
            load_or_create_secret, [tmp_path / str(n // 4) for n in range(80)], chunksize=1
        )
    assert [len(set(found[n : n + 4])) for n in range(0, 80, 4)] == [1] * 20


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(
        ConfigError,
        match=r"^CHATSVC_DATA_DIR: must be a folder that this account may write to, not '.*' \(.*\)$",
    ):
        load_or_create_secret(file / "var")


def test_a_damaged_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short\n")
    with pytest.raises(ConfigError, match=f"secret_key: {SECRET} .the value has 5 bytes"):
        load_or_create_secret(tmp_path)


def test_a_folder_of_credentials_that_cannot_be_used_is_one_problem(tmp_path: Path) -> None:
    """systemd once handed over one that the account could not enter: every option failed with a trace."""
    folder = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError) as caught:
        load({"CREDENTIALS_DIRECTORY": str(folder)})
    assert caught.value.problems == (
        "CREDENTIALS_DIRECTORY: must be a folder that this account may read, "
        f"not {str(folder)!r} (File name too long)",
    )


LINKS = {
    "CHATSVC_SERVICE_HOST": "10.43.7.21",
    "CHATSVC_SERVICE_PORT": "8888",
    "CHATSVC_SERVICE_PORT_HTTP": "8888",
    "CHATSVC_PORT": "tcp://10.43.7.21:8888",
    "CHATSVC_PORT_8888_TCP": "tcp://10.43.7.21:8888",
    "CHATSVC_PORT_8888_TCP_PROTO": "tcp",
    "CHATSVC_PORT_8888_TCP_PORT": "8888",
    "CHATSVC_PORT_8888_TCP_ADDR": "10.43.7.21",
    "CHATSVC_REDIS_SERVICE_HOST": "fd00:10:96::f2",
    "CHATSVC_REDIS_PORT": "tcp://[fd00:10:96::f2]:6379",
    "CHATSVC_REDIS_PORT_53_UDP_ADDR": "fd00:10:96::f2",
}


def test_variables_of_kubernetes_services_are_ignored() -> None:
    """A Service named chatsvc set CHATSVC_PORT=tcp://… in every pod and stopped the start."""
    assert load(LINKS) == load({})
    assert load(LINKS | {"CHATSVC_HOST": "0.0.0.0"}).host == "0.0.0.0"


@pytest.mark.parametrize("name", LINKS)
def test_only_values_of_their_form_are_ignored(name: str) -> None:
    assert len(problems({name: "tcp:/10.43.7.21"})) == 1
