"""A TCP proxy on loopback that can be told to be a bad network: late, silent, or broken."""
import asyncio
import contextlib
import threading

CHUNK = 65536


class Proxy:
    """Forwards connections to 127.0.0.1:`target`. Runs in a thread of its own; every method is safe from any thread."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._delay = 0.0
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()    # Unset: nothing passes, nothing is closed, nobody is told.
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def cut(self) -> None:
        """Resets every connection."""
        self._call(self._cut)

    def delay(self, seconds: float) -> None:
        """Each piece passes so much later, in both directions; 0 ends it."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def silence(self) -> None:
        """Nothing passes any more, as behind a cable that was pulled; until `heal`."""
        self._call(self._open.clear)

    def refuse(self) -> None:
        """Resets every connection and each new one; until `heal`."""
        def act() -> None:
            self._refusing = True
            self._cut()
        self._call(act)

    def heal(self) -> None:
        def act() -> None:
            self._refusing, self._delay = False, 0.0
            self._open.set()
        self._call(act)

    def close(self) -> None:
        self._call(self._loop.stop)
        self._thread.join()

    def _call(self, act) -> None:
        self._loop.call_soon_threadsafe(act)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._open.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            await self._open.wait()
            if self._refusing:
                writer.transport.abort()
                return
            other_reader, other = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(other)
            ways = {asyncio.ensure_future(self._pass(reader, other)), asyncio.ensure_future(self._pass(other_reader, writer))}
            _done, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):   # The latter: the proxy closes.
            writer.transport.abort()
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    end.close()
                    with contextlib.suppress(OSError, asyncio.CancelledError):
                        await end.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK):
                if self._delay > 0:
                    await asyncio.sleep(self._delay)
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
