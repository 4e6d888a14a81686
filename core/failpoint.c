#include "failpoint.h"

#ifdef PCN_FAILPOINTS

#include <signal.h>
#include <unistd.h>

#include "atomics.h"

static pcn_atomic64 target;
static pcn_atomic64 passed;
static const char *last = "";

void pcn_failpoint_pass(const char *name)
{
    uint64_t now = atomic_fetch_add(&passed, 1) + 1;
    last = name;
    if (now == pcn_load_relaxed64(&target)) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}

int pcn_failpoint_arm(uint64_t number)
{
    pcn_store_relaxed64(&passed, 0);
    pcn_store_relaxed64(&target, number);
    return 0;
}

uint64_t pcn_failpoint_passed(void)
{
    return pcn_load_relaxed64(&passed);
}

const char *pcn_failpoint_last(void)
{
    return last;
}

#else

int pcn_failpoint_arm(uint64_t number)
{
    (void)number;
    return -1;
}

uint64_t pcn_failpoint_passed(void)
{
    return 0;
}

const char *pcn_failpoint_last(void)
{
    return "";
}

#endif
