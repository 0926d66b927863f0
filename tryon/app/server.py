"""Serving the page: on this machine, with nothing left behind and nothing fetched."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from tryon.app.examples import draw_examples
from tryon.data.images import Size
from tryon.errors import InputError
from tryon.inference import TryOn

MEGABYTE = 10**6
MOST_BYTES = 64 * MEGABYTE
"""Of one request: a photo of a phone has up to some 25 MB."""

EXAMPLE_HEIGHT = 384
SECONDS_TO_END = 2  # for requests under way when the server is stopped
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""What keeps gradio and what it builds on from calling anyone."""

HEADERS = {
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Of every answer. The first one has the browser load nothing from anywhere else."""

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


def serve(model: TryOn, host: str, port: int, said: Callable[[str], object]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        model: a trained student.
        host: address to listen at.
        port: to listen at; 0 takes any that is free.
        said: called with the page's address once it can be visited.

    Raises:
        InputError: gradio is not installed, or the address cannot be listened at.
    """
    if find_spec("gradio") is None:
        raise InputError("gradio: found no such package, wanted it for the page; pip install tryon-kernels[app]")
    listening = _listen(host, port)
    # Uploads, results and examples are in one folder, which goes with the process, be it ended or interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listening, tempfile.TemporaryDirectory(prefix="tryon-app-") as folder:
        tempfile.tempdir = folder
        os.environ.update(SETTINGS, GRADIO_TEMP_DIR=folder)
        server = _server(model, Path(folder))
        shown = f"[{host}]" if ":" in host else host
        said(f"http://{shown}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"--host {host} --port {port}: cannot be listened at ({error})") from None


def _server(model: TryOn, folder: Path) -> Any:
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from tryon.app.interface import CSS, THEME, build_page

    page = build_page(model, *draw_examples(folder, _example_size(model.record.size)))
    # `launch` would say so, and only then does gradio itself refuse files that were not uploaded.
    page.has_launched = True
    application = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page,
        path="/",
        allowed_paths=[],
        max_file_size=MOST_BYTES,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=THEME,
        css=CSS,
    )
    settings = uvicorn.Config(
        Guarded(application), log_level="warning", timeout_graceful_shutdown=SECONDS_TO_END, ws="none"
    )
    return uvicorn.Server(settings)


def _example_size(size: Size) -> Size:
    return EXAMPLE_HEIGHT, round(EXAMPLE_HEIGHT * size[1] / size[0])


class Guarded:
    """An ASGI application with `HEADERS` on all answers, that takes at most `MOST_BYTES` of one request."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self._application = application

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Serve a request. Of a larger one, the rest is not received: the connection counts as lost."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        received = 0

        async def receive_some() -> _Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > MOST_BYTES else message

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        await self._application(scope, receive_some, send_with_headers)
