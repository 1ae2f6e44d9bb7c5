"""A thread that sleeps in a function of its own, ROUNDS times MILLISECONDS. Begins at a first SIGUSR1 and ends at a
second one; in between it says what it waited for in nanoseconds.
"""

import signal
import sys
import threading
import time

ROUNDS = int(sys.argv[1])
PAUSE = int(sys.argv[2]) / 1000


def now():
    """Stands still while this thread is on a CPU or waits for one: the second field of its schedstat."""
    with open("/proc/thread-self/schedstat") as file:
        queued = int(file.read().split()[1])
    return time.monotonic_ns() - time.thread_time_ns() - queued


def resting():
    time.sleep(PAUSE)


def repeat():
    spent = 0
    for _ in range(ROUNDS):
        begun = now()
        resting()
        spent += now() - begun
    print(f"resting {spent}")


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
    thread = threading.Thread(target=repeat)
    thread.start()
    thread.join()
    print("done", flush=True)
    signal.sigwait({signal.SIGUSR1})
