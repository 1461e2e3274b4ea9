"""Mails that have left, as their readers have them."""

from __future__ import annotations

import html as html_text
import re
from email.message import EmailMessage

from infra.servers.moto import EmbeddedMoto


class Mail:
    """One mail as its reader has it."""

    def __init__(self, message: EmailMessage) -> None:
        text, html = (part for part in message.walk() if part.get_content_type().startswith("text/"))
        assert isinstance(text, EmailMessage)
        assert isinstance(html, EmailMessage)
        self.html, self.reply_to = str(html.get_content()), str(message["Reply-To"])
        self.text = re.sub(r"\s+", " ", str(text.get_content()))
        lines = str(text.get_content()).splitlines()
        pairs = (line.replace("\u00a0", " ").split(": ", 1) for line in lines if ": " in line)
        self.facts = {pair[0]: pair[1] for pair in pairs}
        hrefs = re.findall(r'href="([^"]+)"', self.html)
        self.links = {html_text.unescape(link) for link in hrefs} | set(
            re.findall(r"https?://\S+", self.text)
        )


def mails(moto: EmbeddedMoto) -> list[Mail]:
    return [Mail(sent.message) for sent in moto.sent()]
