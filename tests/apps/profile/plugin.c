// A library that a running program loads, and that calls it back.
__attribute__((noinline)) static int below(void (*spin)(int), int depth) {
    if (depth > 0) return below(spin, depth - 1) + depth;
    spin(10000);
    return 0;
}

int plugged_times;

void plugged(void (*spin)(int)) { plugged_times += below(spin, 12); }
