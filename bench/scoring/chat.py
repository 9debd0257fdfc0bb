"""Write prompts in a model's chat template, so that the same question is the same text on every day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from jinja2 import TemplateError

Messages = Sequence[Mapping[str, str]]
TODAY = datetime(2024, 7, 26)
"""What templates that ask for today's date are given: the one that Llama 3's templates fall back to."""
ANOTHER_DAY = datetime(2031, 11, 9, 22, 58, 7)


class Chat:
    """A chat template and the special tokens that it writes.

    `date` is the one that was written for today's, None as long as none was. `without_system` is true where the
    template refused a system message, which the prompts therefore lack.
    """

    def __init__(self, template: str | None, tokens: Mapping[str, str]) -> None:
        self.date: str | None = None
        self.without_system = False
        self.tokens = dict(tokens)
        self._template = template

    def prompt(self, messages: Messages, generate: bool) -> str:
        """Return messages as one text, ready for an answer where `generate` says so, else within the last message.

        Raises RuntimeError where the model has no template, one that fails, or one that writes another text each time.
        """
        if self._template is None:
            raise RuntimeError("accuracy.chat_template: this model has no chat template; set it to false")
        try:
            return self._without_system_if_refused(self._template, messages, generate)
        except TemplateError as error:
            raise RuntimeError(
                f"accuracy.chat_template: this model's template fails: {str(error).rstrip('.')}; set it to false"
            ) from None

    def _without_system_if_refused(self, template: str, messages: Messages, generate: bool) -> str:
        try:
            return self._checked(template, messages, generate)
        except TemplateError:  # as lm-eval's own model does for templates that know no system message
            without_system = [message for message in messages if message["role"] != "system"]
            if len(without_system) == len(messages):
                raise
            self.without_system = True
            return self._checked(template, without_system, generate)

    def _checked(self, template: str, messages: Messages, generate: bool) -> str:
        text, another, again = (self._render(template, messages, generate, day) for day in (TODAY, ANOTHER_DAY, TODAY))
        if again != text:
            raise RuntimeError(
                "accuracy.chat_template: this model's template writes another text each time (a `random` or `lipsum` "
                "in it), so that no two variants are asked the same; set it to false"
            )
        if another != text:
            self.date = f"{TODAY:%Y-%m-%d}"
        return text

    def _render(self, template: str, messages: Messages, generate: bool, day: datetime) -> str:
        from transformers.utils import chat_template_utils as transformers

        # Rendering finds this very object again; a function that it is handed is replaced by its name.
        compiled = transformers._compile_jinja_template(template)
        compiled.globals["strftime_now"] = day.strftime
        rendered = transformers.render_jinja_template(
            [list(map(dict, messages))],
            chat_template=template,
            add_generation_prompt=generate,
            continue_final_message=not generate,
            **self.tokens,  # type: ignore[arg-type]
        )
        return str(rendered[0][0])
