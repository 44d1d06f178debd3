"""A webhook receiver that keeps a journal and is a little unreliable: some deliveries it refuses, some it cuts off after it
has read them."""
import hashlib
import json
import random
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from journal import Journal
from world import signature_ok


class Receiver:
    def __init__(self, secret: str, journal: Journal, seed: int, unreliable: float = 0.04) -> None:
        chance, lock = random.Random(seed), threading.Lock()

        def answer() -> int:
            with lock:
                return random.Random(chance.random()).choice([500, 503, 429, 0, 404]) if chance.random() < unreliable else 200

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = answer()
                event = json.loads(body)
                # Before the answer: what was answered 2xx stands in the journal for certain.
                journal.write(webhook_id=self.headers["webhook-id"], event=event["id"], type=event["type"],
                              job=event["data"]["id"], status=event["data"].get("status"), sequence=event["sequence"],
                              signature_ok=signature_ok(secret, self.headers, body),
                              body=hashlib.sha256(body).hexdigest(), answered=status)
                if status == 0:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def finish(self) -> None:
                try:
                    super().finish()
                except OSError:
                    pass    # Cut off on purpose, or by a sender that was killed.

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_arguments: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
