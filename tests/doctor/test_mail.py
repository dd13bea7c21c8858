"""The doctor and mail servers: real ones on sockets, each with something wrong."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from chatsvc.doctor import mail
from chatsvc.doctor.finding import Finding
from tests.support.certificate import Certificate
from tests.support.mail import mail_server
from tests.support.ports import reserve_port
from tests.support.service import make_config


def mail_finding(tmp_path: Path, smtp_url: str | None, **changes: Any) -> Finding:
    return mail.check(make_config(tmp_path, smtp_url=smtp_url, **changes))


def test_without_a_mail_server_it_says_where_e_mails_go(tmp_path: Path) -> None:
    here = mail_finding(tmp_path, None)
    assert here.level == "ok" and str(tmp_path / "mail") in here.found
    assert mail_finding(tmp_path, None, public_url="https://chat.example.com").level == "warn"


def test_a_mail_server_without_tls_is_used_only_when_told_so(tmp_path: Path) -> None:
    with mail_server() as server:
        port = server.port
        refused = mail_finding(tmp_path, f"smtp://me:right@127.0.0.1:{port}")
        assert (
            refused.level == "FAIL"
            and "offers no STARTTLS" in refused.found
            and "tls=off" in refused.advice
        )
        plain = mail_finding(tmp_path, f"smtp://me:right@127.0.0.1:{port}?tls=off")
        assert (plain.level, plain.found) == (
            "ok",
            f"127.0.0.1 port {port}, without TLS, logged in",
        )
        wrong = mail_finding(tmp_path, f"smtp://me:wr%40ng@127.0.0.1:{port}?tls=off")
        assert wrong.level == "FAIL" and "refuses user and password: 535 " in wrong.found
        assert "wr%40ng" not in str(wrong) and "wr@ng" not in str(wrong)
        tls = mail_finding(tmp_path, f"smtps://127.0.0.1:{port}")
        assert (
            tls.level == "FAIL"
            and "no TLS: WRONG_VERSION_NUMBER" in tls.found
            and "465" in tls.advice
        )


@pytest.mark.parametrize(
    ("scheme", "door", "how"),
    [("smtp", "tls_context", "STARTTLS"), ("smtps", "ssl_context", "TLS")],
)
def test_a_mail_servers_certificate_is_checked(
    tmp_path: Path,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    door: str,
    how: str,
) -> None:
    with mail_server(**{door: certificate.context()}, auth_require_tls=scheme == "smtp") as server:
        port = server.port
        url = f"{scheme}://me:right@127.0.0.1:{port}"
        unknown = mail_finding(tmp_path, url)
        assert unknown.level == "FAIL" and "CERTIFICATE_VERIFY_FAILED" in unknown.found
        assert "127.0.0.1, must be the name" in unknown.advice and "SSL_CERT_FILE" in unknown.advice
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        known = mail_finding(tmp_path, url)
        assert (known.level, known.found) == ("ok", f"127.0.0.1 port {port}, with {how}, logged in")


def test_what_answers_and_is_no_mail_server_is_told_apart(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def answer() -> None:
            connection, _ = other.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        ssh = mail_finding(tmp_path, f"smtp://127.0.0.1:{port}")
        thread.join()
    assert (
        ssh.found
        == f"127.0.0.1 port {port} cannot be used: the response is not that of a mail server"
    )


def test_plain_words_to_a_port_with_tls_get_no_answer_and_it_says_why(
    tmp_path: Path, certificate: Certificate
) -> None:
    with mail_server(ssl_context=certificate.context()) as server:
        config = make_config(tmp_path, smtp_url=f"smtp://127.0.0.1:{server.port}")
        silent = mail.check(config, limit_s=1.0)
    assert (
        silent.level == "FAIL"
        and silent.found.endswith("no response in time")
        and "use smtps://" in silent.advice
    )


def test_a_mail_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    port = reserve_port()
    gone = mail_finding(tmp_path, f"smtp://127.0.0.1:{port}")
    assert (gone.level, gone.found) == (
        "FAIL",
        f"127.0.0.1 port {port} cannot be used: Connection refused",
    )
    nameless = mail_finding(tmp_path, "smtp://mail.invalid")
    assert nameless.level == "FAIL" and nameless.found.startswith(
        "mail.invalid port 587 cannot be used: "
    )
