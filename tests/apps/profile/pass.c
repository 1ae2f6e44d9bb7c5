// Two threads that do nothing but wait for each other: a byte goes to and fro through pipes, ROUNDS times, DEPTH calls
// deep. Begins at a first SIGUSR1 and ends at a second one; in between it says how many nanoseconds a round of two waits
// takes.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2], rounds, depth;

__attribute__((noinline, noclone)) static long pass(int in, int out, int below) {
    // Addition after the call: it is no tail call.
    if (below) return pass(in, out, below - 1) + 1;
    char byte;
    if (read(in, &byte, 1) != 1 || write(out, &byte, 1) != 1) abort();
    return byte;
}

static void *other(void *unused) {
    for (int i = 0; i < rounds; i++) pass(there[0], back[1], depth);
    return unused;
}

int main(int count, char **arguments) {
    if (count < 3 || pipe(there) || pipe(back)) return 2;
    rounds = atoi(arguments[1]);
    depth = atoi(arguments[2]);
    sigset_t start;
    sigemptyset(&start);
    sigaddset(&start, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &start, NULL);
    puts("ready");
    fflush(stdout);
    int number;
    sigwait(&start, &number);
    pthread_t thread;
    pthread_create(&thread, NULL, other, NULL);
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (write(there[1], "x", 1) != 1) return 1;
    for (int i = 1; i < rounds; i++) pass(back[0], there[1], depth);
    pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double ns = (double)(ended.tv_sec - begun.tv_sec) * 1e9 + (double)(ended.tv_nsec - begun.tv_nsec);
    printf("%.0f a round\n", ns / rounds);
    fflush(stdout);
    sigwait(&start, &number);
    return 0;
}
