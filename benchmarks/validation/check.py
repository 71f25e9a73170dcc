"""One contestant, in its own process: validates parts and prints the time it took, as JSON.

    python -m benchmarks.validation.check NAME WARM_UP PART...

The time runs from opening the first part to the result of the last one, including reading Parquet. It does not include
starting Python, importing the library, making the schema and a first small part. All threads share one processor.
"rows" is null if a part was found bad.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

from benchmarks.validation.contestants import CONTESTANTS


def main() -> None:
    name, warm_up, *texts = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    check = CONTESTANTS[name]()
    check(Path(warm_up))
    started, processor = time.perf_counter(), time.process_time()
    counts = [check(Path(text)) for text in texts]
    told = {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor,
        "rows": counts,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
