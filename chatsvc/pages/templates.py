"""The templates of pages and e-mails, and what they may call."""

from pathlib import Path

import jinja2

from chatsvc.pages import presentation
from chatsvc.pages.assets import Assets


def load_templates(loaded: Assets) -> jinja2.Environment:
    """What is filled in is escaped, but for the parts of e-mails that are plain text. A value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=jinja2.select_autoescape(disabled_extensions=("subject", "txt"), default=True),
        undefined=jinja2.StrictUndefined,
        auto_reload=False,  # an upgrade that replaces the files does not change what is still running
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = loaded.url
    environment.filters |= {
        "utc": presentation.utc,
        "utc_day": presentation.utc_day,
        "device": presentation.device,
    }
    return environment
