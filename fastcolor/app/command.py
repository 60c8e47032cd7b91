"""`fastcolor app`: where the page is served, what is said about that, and how it ends."""

import logging
import socket
import sys
from pathlib import Path

from fastcolor.errors import UserError

SECONDS_TO_END = 3  # after Ctrl-C, for downloads that have begun


def main(
    host: str = "127.0.0.1",  # address to serve at; with 0.0.0.0 other machines can use the page too
    port: int = 8000,  # 0 takes a free one
    runs: Path = Path("runs"),  # folder of run folders, whose weights can be chosen and whose training can be watched
) -> int:
    """Serve a page that colours photos in a browser and shows runs while they train. Stop it with Ctrl-C."""
    try:
        import uvicorn

        from fastcolor.app.guard import is_loopback
        from fastcolor.app.server import build
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: run `pip install starlette uvicorn`") from None
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        if not is_loopback(host):
            warning = f"warning: everybody who can reach this machine at {host}, port {port}, can use the page"
            print(f"{warning}: leave out --host to be the only one", file=sys.stderr)
        address = f"http://{name_of(host)}:{port}"
        print(f"{address} colours photos and shows the runs in {runs}; stop it with Ctrl-C", flush=True)
        config = uvicorn.Config(
            build(runs, host),
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


def name_of(host: str) -> str:
    """What to write for `host` in an address that a browser can open."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
