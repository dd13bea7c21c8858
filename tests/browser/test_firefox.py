"""The most important tests of the other modules once more, in Firefox.

`make test` runs these, `make test-slow` all others too (`--engine firefox`).
"""

import pytest

from .test_dashboard import (
    test_a_chat_is_live_both_ways,
    test_a_reply_that_fails_stays_in_the_box_with_the_reason,
    test_all_pages_keep_the_content_security_policy,
    test_it_works_without_javascript,
    test_login_refuses_and_lets_in_and_leads_back,
    test_the_list_is_live,
)
from .test_end_to_end import test_user_and_staff_through_a_kill
from .test_widget import (
    test_a_message_is_sent_and_then_seen,
    test_an_answer_that_was_lost_does_not_double_the_message,
    test_enter_sends_shift_enter_does_not_and_composing_does_not,
    test_messages_go_both_ways_live,
    test_older_messages_come_without_a_jump,
)
from .test_widget_accessibility import test_everything_is_done_with_the_keyboard_alone
from .test_widget_host_page import test_typing_does_not_trigger_shortcuts_of_the_host_page
from .test_widget_in_page import (
    test_german_theme_and_a_brand_colour_with_readable_text,
    test_the_host_page_cannot_break_its_look_and_it_does_not_touch_the_host_page,
)
from .test_widget_network import test_cuts_lose_nothing, wire
from .test_widget_outbox import (
    test_unsent_messages_survive_a_reload_in_order_with_their_names,
)
from .test_widget_tabs import (
    test_reading_in_one_tab_clears_the_badge_in_the_other,
    test_when_the_leading_tab_closes_another_takes_over_within_a_second,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("engine", ["firefox"], indirect=True, scope="package"),
]
