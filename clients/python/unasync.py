"""Makes the synchronous client of the asynchronous one: python3 unasync.py [FILE]"""

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "alt_las"
HEAD = '"""The synchronous client. unasync.py makes it of `_async.py`: change that one."""'
#: Words, by what becomes of them.
WORDS = {
    "async ": "",
    "await ": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "asynccontextmanager": "contextmanager",
    "AsyncAltLas": "AltLas",
    "AsyncClient": "Client",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "asyncio.sleep": "time.sleep",
    "import asyncio\n": "",
}
PATTERN = re.compile("|".join(rf"\b{re.escape(word)}" for word in WORDS))


def synchronous(source: str) -> str:
    """What a file of the asynchronous client is without waiting."""
    _, _, code = source.partition("\n")
    return HEAD + "\n" + PATTERN.sub(lambda found: WORDS[found.group()], code)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE / "_sync.py"
    target.write_text(synchronous((PACKAGE / "_async.py").read_text()))
