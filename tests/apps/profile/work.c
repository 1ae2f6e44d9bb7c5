// Ways to be on a CPU, one for each mode: deep, signal, plugin PATH, plt, threads, count FILE.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifndef NO_DLOPEN
#include <dlfcn.h>
#endif

#define OWN __attribute__((noinline, noclone))

static volatile unsigned long sink;

OWN void spin(int rounds) {
    for (int i = 0; i < rounds; i++) sink += (unsigned long)i * i;
}

// Rounds of work that differ: samples at a steady rate would otherwise meet a steady program in step.
static int rounds(int least) {
    static _Thread_local unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return least + (int)(state >> 17) % (2 * least);
}

OWN long recurse(int depth) {
    if (depth == 0) {
        spin(rounds(10000));
        return 1;
    }
    // Addition after the call: it is no tail call.
    long below = recurse(depth - 1) + depth;
    sink += below;
    return below;
}

OWN void beside(void) {
    // A frame of changing size.
    char *room = __builtin_alloca(64 + sink % 256);
    memset(room, 1, 64);
    spin(rounds(5000));
    sink += room[7];
}

OWN void on_signal(int number) {
    spin(20000);
    sink += number;
}

OWN void interrupted(int depth) {
    if (depth > 0) {
        interrupted(depth - 1);
        sink++;
        return;
    }
    raise(SIGUSR1);
    spin(5000);
}

static void use_signals(void) {
    static char stack[64 * 1024];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, NULL);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
}

// Calls into another library over and over: many samples are in the procedure linkage table.
OWN void through_plt(void) {
    for (int i = 0; i < 20000; i++) sink += (unsigned long)getppid() ^ (unsigned long)abs((int)sink);
}

// Where a benchmark reads how much was done.
static volatile unsigned long *counter(const char *path) {
    int file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(unsigned long))) return NULL;
    void *memory = mmap(NULL, sizeof(unsigned long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void *worker(void *argument) {
    for (;;) {
        recurse(10);
        if (argument) beside();
    }
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "deep";
    void (*plugged)(void (*)(int)) = NULL;
#ifndef NO_DLOPEN
    if (!strcmp(mode, "plugin")) {
        void *plugin = dlopen(arguments[2], RTLD_NOW);
        if (!plugin) return 1;
        plugged = (void (*)(void (*)(int)))dlsym(plugin, "plugged");
        // The file of a running program may be gone, as after an upgrade.
        unlink(arguments[2]);
    }
#endif
    volatile unsigned long *done = NULL;
    if (!strcmp(mode, "count") && !(done = counter(arguments[2]))) return 1;
    use_signals();
    if (!strcmp(mode, "threads")) {
        pthread_t thread;
        pthread_create(&thread, NULL, worker, NULL);
        pthread_create(&thread, NULL, worker, arguments);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (!strcmp(mode, "signal")) interrupted(20);
        else if (!strcmp(mode, "plt")) through_plt();
        else if (plugged) plugged(spin);
        else if (!strcmp(mode, "threads")) pause();
        else {
            recurse(40);
            beside();
            if (done) ++*done;
        }
    }
}
