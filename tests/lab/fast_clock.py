"""Wall clocks that run fast, for what libmilter does every 600 s, or that are set at run time."""

import shutil
import subprocess
from pathlib import Path

# Only the wall clock, by which nothing is waited for.
_SOURCE = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec start;
static int steps = -1;

__attribute__((constructor)) static void begin(void)
{
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &start);
    if (getenv("CLOCK_STEPS"))
        steps = open(getenv("CLOCK_STEPS"), O_RDONLY | O_CLOEXEC);
}

static long step(void)
{
    char seconds[32] = "";

    if (steps >= 0 && pread(steps, seconds, sizeof seconds - 1, 0) < 0)
        abort();
    return atol(seconds);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);

    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec = start.tv_sec + SPEED * (now->tv_sec - start.tv_sec) + step();
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


def build(directory: Path, *, speed: int = 1) -> Path:
    """Make a library to be preloaded, with which the wall clock runs *speed* times as fast.

    When the environment variable CLOCK_STEPS names a file, the clock is ahead by as many seconds
    as stand in it; they may be changed at any time.
    """
    library = directory / "fastclock.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f"-DSPEED={speed}", "-x", "c", "-", "-o", str(library)],
        input=_SOURCE,
        text=True,
        check=True,
        timeout=60,
    )
    return library
