"""`fastcolor app`: where the page is served, what is said about that, and how it ends."""

import logging
import socket
import sys
from pathlib import Path

from fastcolor.app.addresses import addresses, qr_code
from fastcolor.errors import UserError

SECONDS_TO_END = 3  # after Ctrl-C, for downloads that have begun
SHORTEST_PASSWORD = 6  # with ten guesses a minute, six small letters last for years


def main(
    host: str = "127.0.0.1",  # address to serve at; with 0.0.0.0 other machines can use the page too
    port: int = 8000,  # 0 takes a free one
    password: str | None = None,  # ask everybody for this password (and any user name)
    runs: Path = Path("runs"),  # folder of run folders, whose weights can be chosen and whose training can be watched
) -> int:
    """Serve a page that colours photos in a browser and shows runs while they train. Stop it with Ctrl-C."""
    try:
        import uvicorn

        from fastcolor.app.guard import is_loopback
        from fastcolor.app.limits import TimedProtocol
        from fastcolor.app.server import build
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: run `pip install starlette uvicorn`") from None
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise UserError(f"--password is too easy to guess: give {SHORTEST_PASSWORD} letters or more")
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        _greet(addresses(host, port), runs, None if is_loopback(host) else _warning(host, port, password))
        config = uvicorn.Config(
            build(runs, host, password),
            http=TimedProtocol,
            log_level="warning",
            access_log=False,  # it would keep photos' names and keys
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, *signal) -> None:
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # being cut off now is not an error
                super().handle_exit(*signal)

        try:
            Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn passes it on when everything is closed
            pass
    return 0


def _greet(known: list[str], runs: Path, warning: str | None) -> None:
    """Say where the page is; to a person at a terminal whose page others can open, with a QR code for a phone."""
    if warning:
        print(warning, file=sys.stderr)
    first, *others = known
    also = f" (also at {', '.join(others)})" if others else ""
    print(f"{first} colours photos and shows the runs in {runs}{also}; stop it with Ctrl-C", flush=True)
    if warning and sys.stdout.isatty() and (code := qr_code(first)):
        print(f"On a phone in the same network, point the camera at this:\n{code}", flush=True)


def _warning(host: str, port: int, password: str | None) -> str:
    who = "everybody who can reach this machine" if password is None else "whoever knows the password"
    how = "leave out --host to be the only one" + ("" if password else ", or add --password WORD")
    return f"warning: {who} can use the page at {host}, port {port}: {how}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine. Raises UserError if it can't."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except PermissionError:
        raise UserError(f"--port {port} is not allowed here: give one above 1023") from None
    except OverflowError:
        raise UserError(f"--port must be from 0 to 65535, not {port}") from None
    except socket.gaierror:
        raise UserError(f"--host {host} is not an address: give 127.0.0.1, or 0.0.0.0 for other machines") from None
    except OSError as error:
        raise UserError(f"can't serve at {host}, port {port} ({error.strerror}): give another --port") from None
