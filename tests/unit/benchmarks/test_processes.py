import mmap
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.load.processes import cpu_seconds, usage
from benchmarks.regression.small_pages import VARIABLES, small_pages

#: Makes so many arrays of 6 MiB after a first one, then waits.
ARRAYS = """
import sys
import numpy as np
make = lambda: np.ones(6 * 2**20, np.uint8).sum()
make()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        make()
    print("done", flush=True)
"""


def faults_of(count):
    """Pages that a process touches while it makes so many arrays."""
    with small_pages():
        process = subprocess.Popen(
            [sys.executable, "-c", ARRAYS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **VARIABLES},
        )
    with process:
        assert process.stdout.readline() == "ready\n"
        before = usage({"one": process.pid})["one"].faults
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        return usage({"one": process.pid})["one"].faults - before


def test_every_array_is_counted_in_full():
    pages = 6 * 2**20 / mmap.PAGESIZE
    for count in (1, 3, 10):
        assert count * pages <= faults_of(count) < count * pages * 1.05


def test_memory_is_that_of_the_process_itself():
    before = usage({"self": os.getpid()})["self"].private_mib
    kept = np.ones(64 * 2**20, np.uint8)
    after = usage({"self": os.getpid()})["self"].private_mib
    assert 60 < after - before < 70
    assert kept[-1] == 1


def test_children_count_and_what_has_ended_is_left_out():
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    process = subprocess.Popen([sys.executable, "-c", script, burn])
    spent, deadline = 0.0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        spent = max(spent, cpu_seconds({"one": process.pid}).get("one", 0.0))
    process.wait()
    assert spent > 0.3
    assert cpu_seconds({"one": process.pid}) == {}
