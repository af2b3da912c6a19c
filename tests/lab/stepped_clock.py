"""A wall clock that a test sets, for the programs that are started with it alone."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

# Only the wall clock: the monotonic one never steps. Seconds to add stand in a file in memory.
_SOURCE = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile long *step;

__attribute__((constructor)) static void begin(void)
{
    int file = open(STEP, O_RDONLY | O_CLOEXEC);
    void *found = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, file, 0);

    if (found != MAP_FAILED)
        step = found;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);

    if (!failed && clock == CLOCK_REALTIME && step != NULL)
        now->tv_sec += *step;
    return failed;
}

time_t time(time_t *result)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
"""


def obstacle() -> str | None:
    """Say why no such clock can be made here, or None."""
    return None if shutil.which("gcc") else "gcc is not installed"


class SteppedClock:
    """A library to be preloaded, and the step that it adds to the wall clock."""

    def __init__(self, directory: Path) -> None:
        """Build it in *directory*."""
        self.library = directory / "steppedclock.so"
        step = directory / "step"
        step.write_bytes(bytes(mmap.PAGESIZE))
        with step.open("r+b") as file:
            self._step = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", f'-DSTEP="{step}"', "-x", "c", "-", "-o", self.library],
            input=_SOURCE,
            text=True,
            check=True,
            timeout=60,
        )

    def step(self, seconds: int) -> None:
        """Have it differ from the machine's clock by *seconds* from now on."""
        self._step[: struct.calcsize("l")] = struct.pack("l", seconds)
