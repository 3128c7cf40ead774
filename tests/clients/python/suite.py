"""Real Python clients against a broker: suite.py --bootstrap host:port [--only TEXT].

Prints `ok NAME` or `FAIL NAME: why` per case and exits 1 when a case failed.
A case's name is a cell of the README's compatibility table.
"""

import argparse
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import cases
import confluent_cases
import kafka_python_cases

# Most cases wait for the broker, so a few run side by side.
WORKERS = 4
SLOW_SECONDS_MIN = 5


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
    lock = threading.Lock()
    with ThreadPoolExecutor(WORKERS) as pool:
        results = [pool.submit(run, case, arguments.bootstrap, lock) for case in wanted]
        passed = [result.result() for result in results]
    print(f"{sum(passed)} of {len(passed)} cases passed", flush=True)
    sys.exit(0 if passed and all(passed) else 1)


if __name__ == "__main__":
    main()
