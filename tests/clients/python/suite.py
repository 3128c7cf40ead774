"""Real Python clients against a broker: suite.py --bootstrap host:port [--only TEXT].

Prints `ok NAME` or `FAIL NAME: why` per case and exits 1 when a case failed.
A case's name is a cell of the README's compatibility table.
"""

import argparse
import os
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, wait

import cases
import confluent_cases
import kafka_python_cases

# Most cases wait for the broker, so a few run side by side.
WORKERS = 4
SLOW_SECONDS_MIN = 5
# A healthy broker needs a tenth of this.
SUITE_SECONDS_MAX = 120


def run(case, bootstrap, lock):
    began = time.monotonic()
    try:
        case.function(bootstrap)
        line, passed = f"ok {case.name}", True
    except Exception as error:  # A case may fail in any way; all of them are told.
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}".replace("\n", " ")
        line, passed = f"FAIL {case.name}: {told} ({where.name}:{where.lineno})", False
    seconds = time.monotonic() - began
    slow = f" ({seconds:.0f} s)" if seconds > SLOW_SECONDS_MIN else ""
    with lock:
        print(line + slow, flush=True)
    return passed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    arguments = parser.parse_args()
    wanted = [case for case in cases.ALL if arguments.only in case.name]
    assert confluent_cases and kafka_python_cases, "importing them registers their cases"
    host, port = arguments.bootstrap.rsplit(":", 1)
    socket.create_connection((host, int(port)), timeout=5).close()
    lock = threading.Lock()
    pool = ThreadPoolExecutor(WORKERS)
    futures = {pool.submit(run, case, arguments.bootstrap, lock): case for case in wanted}
    done, late = wait(futures, timeout=SUITE_SECONDS_MAX)
    for future in late:
        print(f"FAIL {futures[future].name}: not within the suite's time", flush=True)
    passed = sum(future.result() for future in done)
    print(f"{passed} of {len(wanted)} cases passed", flush=True)
    # A client that hangs in a failed case must not keep the program alive.
    os._exit(0 if wanted and passed == len(wanted) else 1)


if __name__ == "__main__":
    main()
