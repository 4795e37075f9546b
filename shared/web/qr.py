"""QR codes, drawn beside the event loop: that of a signed address takes thirty milliseconds."""

import asyncio

import segno

from shared.outside import outside


@outside
async def qr_code(text: str) -> str:
    """A picture of a text for `<img src>`, dark on white in every theme."""
    return await asyncio.to_thread(_drawn, text)


def _drawn(text: str) -> str:
    return segno.make(text, error="m").svg_data_uri(scale=6, border=2, dark="#15232a", light="#fff")
