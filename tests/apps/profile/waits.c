// Ways to wait, one for each thread, as often and as long as the arguments say: ROUNDS MICROSECONDS. A thread that
// spins all the while waits for nothing. Begins at a first SIGUSR1 and ends at a second one; in between it says what
// it waited for in nanoseconds, by function.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define OWN __attribute__((noinline, noclone))

static volatile unsigned long sink;
static volatile int over;
static int rounds;
static long pause_ns;

// How long this thread has waited for a CPU: the second field of its schedstat.
static long queued(void) {
    static _Thread_local int file = 0;
    if (!file) file = open("/proc/thread-self/schedstat", O_RDONLY);
    char text[96] = "";
    if (pread(file, text, sizeof text - 1, 0) < 1) abort();
    char *second;
    strtoul(text, &second, 10);
    return (long)strtoul(second, NULL, 10);
}

static long read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

// A clock that stands still while this thread is on a CPU or waits for one: somebody else may need it.
static long now(void) {
    return read_clock(CLOCK_MONOTONIC) - read_clock(CLOCK_THREAD_CPUTIME_ID) - queued();
}

OWN void rest(long ns) {
    struct timespec left = {.tv_sec = ns / 1000000000L, .tv_nsec = ns % 1000000000L};
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

// Each of these does something after its call, which would otherwise be a jump.
OWN long asleep(void) {
    long begun = now();
    rest(pause_ns);
    return now() - begun;
}

OWN long dozing(void) {
    long begun = now();
    rest(pause_ns / 10);
    return now() - begun;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t turn;

OWN long locked_out(void) {
    long begun = now();
    pthread_mutex_lock(&lock);
    long waited = now() - begun;
    pthread_mutex_unlock(&lock);
    return waited;
}

static int ends[2];

OWN long reading(void) {
    char byte;
    long begun = now();
    if (read(ends[0], &byte, 1) == 1) sink += byte;
    return now() - begun;
}

OWN void spinning(void) {
    while (!over) sink++;
}

static void *sleeper(void *sum) {
    for (int i = 0; i < rounds; i++) *(long *)sum += asleep();
    return NULL;
}

static void *dozer(void *sum) {
    for (int i = 0; i < rounds; i++) *(long *)sum += dozing();
    return NULL;
}

static void *owner(void *unused) {
    for (int i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        pthread_barrier_wait(&turn);
        rest(pause_ns);
        pthread_mutex_unlock(&lock);
        pthread_barrier_wait(&turn);
    }
    return unused;
}

static void *contender(void *sum) {
    for (int i = 0; i < rounds; i++) {
        pthread_barrier_wait(&turn);
        *(long *)sum += locked_out();
        pthread_barrier_wait(&turn);
    }
    return NULL;
}

static void *writer(void *unused) {
    for (int i = 0; i < rounds; i++) {
        rest(pause_ns);
        if (write(ends[1], "x", 1) != 1) return NULL;
    }
    return unused;
}

static void *reader(void *sum) {
    for (int i = 0; i < rounds; i++) *(long *)sum += reading();
    return NULL;
}

static void *spinner(void *unused) {
    spinning();
    return unused;
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    rounds = atoi(arguments[1]);
    pause_ns = atol(arguments[2]) * 1000;
    if (pipe(ends) || pthread_barrier_init(&turn, NULL, 2)) return 1;
    sigset_t start;
    sigemptyset(&start);
    sigaddset(&start, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &start, NULL);
    puts("ready");
    fflush(stdout);
    int number;
    sigwait(&start, &number);
    long sums[4] = {0, 0, 0, 0};
    void *(*functions[])(void *) = {sleeper, dozer, contender, reader, owner, writer, spinner};
    pthread_t threads[7];
    for (int i = 0; i < 7; i++) pthread_create(&threads[i], NULL, functions[i], i < 4 ? &sums[i] : NULL);
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    over = 1;
    pthread_join(threads[6], NULL);
    printf("asleep %ld\ndozing %ld\nlocked_out %ld\nreading %ld\n", sums[0], sums[1], sums[2], sums[3]);
    puts("done");
    fflush(stdout);
    sigwait(&start, &number);
    return 0;
}
