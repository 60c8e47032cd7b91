"""`fastcolor app`: a page that colours photos in a browser, and shows runs while they train.

    desk.py    the photos that were handed in, and the thread that colours them in turn
    runs.py    what the run folders hold: weights, histories, pictures
    server.py  what is answered to which request; guard.py: who may ask
    page/      the page itself: plain HTML, CSS and JavaScript, nothing from elsewhere
"""

import ipaddress
import logging
import socket
import sys
from pathlib import Path

from fastcolor.errors import UserError

SECONDS_TO_END = 3  # after Ctrl-C, for downloads that are under way


def main(
    host: str = "127.0.0.1",  # address to serve at; 0.0.0.0 lets other machines in
    port: int = 8000,  # 0 takes any that is free
    runs: Path = Path("runs"),  # folder of run folders: their weights can be chosen, their training be watched
) -> int:
    """Serve a page that colours photos in a browser and shows runs while they train. Ctrl-C ends it."""
    try:
        import uvicorn

        from fastcolor.app.server import build
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: run `pip install 'fastcolor[app]'`") from None
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        if not is_loopback(host):
            warning = f"warning: everybody who can reach this machine at {host}, port {port}, can use the page"
            print(f"{warning}: without --host nobody else can", file=sys.stderr)
        print(f"http://{name_of(host)}:{port} colours photos and shows the runs below {runs}; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(
            build(runs, host),
            log_level="warning",
            access_log=False,  # it would keep photos' names and the keys to them
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, *signal) -> None:
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off now is no error
                super().handle_exit(*signal)

        try:
            Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn passes it on when everything is closed
            pass
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine. Raises UserError where that can't be."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except PermissionError:
        raise UserError(f"port {port} may not be used: give one above 1023 with --port") from None
    except OverflowError:
        raise UserError(f"--port {port} is no port: give 0 to 65535") from None
    except socket.gaierror:
        raise UserError(f"--host {host} is no address: give 127.0.0.1, or 0.0.0.0 for all of this machine's") from None
    except OSError as error:
        raise UserError(f"can't serve at {host}, port {port} ({error.strerror}): give another --port") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_of(host: str) -> str:
    """What stands for `host` in an address that a browser can open."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
