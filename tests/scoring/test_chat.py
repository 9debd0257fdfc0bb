"""The same messages are the same text on every day, and what a template writes of its own is known."""

from __future__ import annotations

from datetime import datetime

import pytest

from bench.scoring.chat import TODAY, Chat

ASKED = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 2?"}]
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
DATED = "{{ bos_token }}Today is {{ strftime_now('%d %b %Y, %H:%M:%S') }}." + PLAIN
LLAMA_3 = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}'
    "{%- endif %}Today Date: {{ date_string }}\n" + PLAIN
)


@pytest.mark.parametrize("template", [DATED, LLAMA_3, "{% set clock = strftime_now %}{{ clock('%Y') }}" + PLAIN])
def test_a_template_that_writes_the_date_writes_a_fixed_one_and_says_so(template: str) -> None:
    chat = Chat(template, {"bos_token": "<s>"})
    text = chat.prompt(ASKED, generate=True)
    assert chat.date == "2024-07-26"
    assert f"{datetime.now():%Y}" not in text
    assert "2024" in text
    assert f"{TODAY:%d %b %Y}" in text or template not in (DATED, LLAMA_3)
    assert text.endswith("<system>Be short.<user>2 + 2?<a>")


def test_a_template_without_a_date_has_none_and_is_written_as_transformers_writes_it() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    chat = Chat("{{ bos_token }}" + PLAIN, {"bos_token": "<s>", "eos_token": "</s>"})
    for generate in (True, False):
        rendered = render_jinja_template(
            [[dict(message) for message in ASKED]],
            chat_template="{{ bos_token }}" + PLAIN,
            add_generation_prompt=generate,
            continue_final_message=not generate,
            bos_token="<s>",
        )
        assert chat.prompt(ASKED, generate) == rendered[0][0]
    assert (chat.date, chat.without_system) == (None, False)


def test_a_date_in_one_prompt_of_many_is_found() -> None:
    template = "{% if messages[0].role == 'system' %}{{ strftime_now('%Y') }}{% endif %}" + PLAIN
    chat = Chat(template, {})
    chat.prompt(ASKED[1:], generate=True)
    assert chat.date is None
    chat.prompt(ASKED, generate=True)
    assert chat.date == "2024-07-26"


@pytest.mark.parametrize("random", ["{{ range(10**5) | random }}", "{{ lipsum() }}"])
def test_a_template_that_writes_another_text_each_time_is_refused(random: str) -> None:
    with pytest.raises(RuntimeError, match="another text each time"):
        Chat(random + PLAIN, {}).prompt(ASKED, generate=True)


def test_a_template_that_knows_no_system_message_is_asked_without_it() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    chat = Chat(refuses + DATED, {"bos_token": "<s>"})
    assert chat.prompt(ASKED, generate=True).endswith(".<user>2 + 2?<a>")
    assert chat.without_system
    assert chat.date
