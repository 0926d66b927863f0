"""The page of a real server, and who visits it in a real browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

PATIENCE = 60_000  # milliseconds


@dataclass(frozen=True)
class Running:
    """A server of the page, where its files are, and the addresses that it tried to reach."""

    address: str
    process: subprocess.Popen[str]
    folder: Path
    reached: list[str]


_OPTIONS = ("--port", "0", "--precision", "fp32", "--device", "cpu")


@contextmanager
def served(weights: Path, folder: Path) -> Iterator[Running]:
    """The page of a model folder's student; its files are in a folder."""
    with Trap() as (proxy, reached):
        proxies = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")}
        process = subprocess.Popen(
            [sys.executable, "-m", "tryon", "app", "--weights", weights, *_OPTIONS],
            env={**os.environ, **proxies, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
            yield Running(address, process, folder, reached)
        finally:
            process.kill()
            process.wait()


class Trap:
    """A proxy that lets nothing through and notes who asked."""

    def __enter__(self) -> tuple[str, list[str]]:
        self.reached: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._note, daemon=True).start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}", self.reached

    def _note(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.reached.append(connection.recv(200).decode(errors="replace"))

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class Visitor:
    """Someone at the page, with a browser context of their own."""

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.elsewhere: list[str] = []
        self._under_way: set[Any] = set()
        self.page.on("request", self._began)
        for ended in ("requestfinished", "requestfailed"):
            self.page.on(ended, lambda request: self._under_way.discard(request))
        self._address = address
        self.page.goto(address)
        self.page.wait_for_selector("#result img")
        self.settle()

    def _began(self, request: Any) -> None:
        self._under_way.add(request)
        if not request.url.startswith((self._address, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def settle(self) -> None:
        """Wait until nothing has been asked of the server for half a second but to be told of its end."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            self.page.wait_for_timeout(50)
            if any("/heartbeat/" not in request.url for request in self._under_way):
                quiet_since = time.monotonic()

    def upload(self, name: str, path: Path) -> None:
        self.page.click(f"#{name} button[aria-label='Remove Image']")
        self.page.set_input_files(f"#{name} input[type=file]", path)
        self.page.wait_for_selector(f"#{name} button[aria-label='Remove Image']")
        self.settle()

    def dress(self) -> None:
        self.page.click("#dress")
        self.settle()

    def message(self) -> str:
        said = self.page.query_selector("#message")
        return "" if said is None else said.inner_text().strip()

    def result(self) -> Image.Image:
        with self.page.expect_download() as download:
            self.page.click("#download")
        return Image.open(download.value.path()).convert("RGB")
