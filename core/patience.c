#include "patience.h"

#include "platform.h"

#define PCN_LONG_SPIN_NS 200000u /* a sleeper's wake-up twice, and some work: see channel.md */
#define PCN_SHORT_SPIN_NS 10000u
#define PCN_BORNE_MISSES 4u      /* long spins in vain, in a row, before only short ones follow */
#define PCN_RETRY_EVERY 8u       /* of the short ones, one is long again */
#define PCN_LOOKS_A_CLOCK 64     /* looks between two readings of the clock */

enum manner {
    BURN,  /* the core is ours to burn */
    OFFER, /* it may be: burn it, and offer it to others now and then */
    YIELD, /* others want it: let them run between the looks */
};

static bool spin(bool (*ready)(const void *what), const void *what, pcn_atomic32 *misses,
                 enum manner manner)
{
    uint32_t missed = pcn_load_relaxed32(misses);
    bool is_long = missed < PCN_BORNE_MISSES || missed % PCN_RETRY_EVERY == 0;
    uint64_t until = pcn_now_ns() + (is_long ? PCN_LONG_SPIN_NS : PCN_SHORT_SPIN_NS);
    do {
        for (int look = 0; look < PCN_LOOKS_A_CLOCK; look++) {
            if (ready(what)) {
                if (missed != 0) /* do not dirty a shared line for nothing */
                    pcn_store_relaxed32(misses, 0);
                return true;
            }
            if (manner == YIELD)
                pcn_yield();
            else
                pcn_relax();
        }
        if (manner == OFFER)
            pcn_yield();
    } while (pcn_now_ns() < until);
    pcn_store_relaxed32(misses, missed + 1);
    return false;
}

bool pcn_spin(bool (*ready)(const void *what), const void *what, pcn_atomic32 *misses)
{
    return ready(what) || (pcn_has_two_cores() && spin(ready, what, misses, OFFER));
}

bool pcn_spin_beside(bool (*ready)(const void *what), const void *what, pcn_atomic32 *misses,
                     bool spare)
{
    return spin(ready, what, misses, spare ? BURN : YIELD);
}
