// Exceptions through many frames, with destructors on the way.
#include <cstdio>
#include <stdexcept>
#include <string>

#define OWN __attribute__((noinline))

static volatile unsigned long sink;

struct Held {
    std::string text = "held until the frame is left, whichever way";
    OWN ~Held() {
        for (int i = 0; i < 500; i++) sink = sink + text.size();
    }
};

OWN long thrower(int depth) {
    Held held;
    if (depth == 0) throw std::runtime_error("enough");
    return thrower(depth - 1) + static_cast<long>(held.text.size());
}

// Rounds of work that differ: samples at a steady rate would otherwise meet a steady program in step.
static int rounds() {
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return 10000 + static_cast<int>(state >> 17) % 20000;
}

OWN void catcher() {
    int count = rounds();
    try {
        sink = sink + static_cast<unsigned long>(thrower(12));
    } catch (const std::exception &error) {
        sink = sink + std::string(error.what()).size();
    }
    for (int i = 0; i < count; i++) sink = sink + static_cast<unsigned long>(i) * i;
}

int main() {
    std::puts("ready");
    std::fflush(stdout);
    for (;;) catcher();
}
