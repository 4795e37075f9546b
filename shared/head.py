"""HEAD is answered as GET without a body, by whatever answers GET: pages, files, streams, refusals."""

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def answering_head(app: ASGIApp) -> ASGIApp:
    """An ASGI app that answers HEAD with the head that GET would have had."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == HttpMethod.HEAD:
            # A copy: the server goes by its own scope when it counts the body that a length promises.
            asked = {**scope, "method": HttpMethod.GET.value}
            await app(asked, receive, without_body(send))  # type: ignore[arg-type]
            return
        await app(scope, receive, send)

    return answer


def without_body(send: Send) -> Send:
    """Let the head of an answer pass, and no body: a stream has ended before it begins, and hears so."""

    async def head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return head
