"""The process behind `fewtag` and `python -m fewtag`: a Ctrl-C ends it without a traceback while the command line is still being loaded,
and no longer ends it once the work is done."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Load the command line and run it; from then on the process, which is about to end, hears no Ctrl-C."""
    try:
        from fewtag.cli import main as run

        run()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
