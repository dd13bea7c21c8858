"""Load the templates of pages and e-mails, with the functions that they may call."""

from pathlib import Path

import jinja2

from chatsvc.pages import presentation
from chatsvc.pages.assets import Assets


def load_templates(loaded: Assets) -> jinja2.Environment:
    """Escape all values except in the plain-text parts of e-mails. A missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=jinja2.select_autoescape(disabled_extensions=("subject", "txt"), default=True),
        undefined=jinja2.StrictUndefined,
        auto_reload=False,  # an upgrade replaces the files while the old process still runs
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = loaded.url
    environment.filters |= {
        "utc": presentation.utc,
        "utc_day": presentation.utc_day,
        "device": presentation.device,
        "isolate_addresses": presentation.isolate_addresses,
    }
    return environment
