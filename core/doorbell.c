#include "doorbell.h"

#include <limits.h>

#include "failpoint.h"

#define PCN_SLEEPER 1u
#define PCN_RUNG 2u

uint32_t pcn_doorbell_arm(struct pcn_doorbell *bell)
{
    /* SYNC(doorbell.sleep): the bit is set before the condition is looked at again; the
     * ringer publishes before it looks at the bit. One of the two sees the other. */
    uint32_t ticket = pcn_fetch_or_seq_cst32(&bell->word, PCN_SLEEPER) | PCN_SLEEPER;
    /* SYNC(doorbell.sleep): orders the set bit before the caller's plain look. */
    pcn_fence_seq_cst();
    return ticket;
}

enum pcn_slept pcn_doorbell_sleep(struct pcn_doorbell *bell, uint32_t ticket,
                                  uint64_t timeout_ns)
{
    PCN_FAILPOINT("doorbell.sleep.armed");
    enum pcn_slept slept = pcn_futex_wait(&bell->word, ticket, timeout_ns);
    PCN_FAILPOINT("doorbell.sleep.woken");
    if (slept == PCN_SLEPT_WOKEN) {
        /* The ringer cleared the bit and woke one: others may still sleep. The caller is
         * to look behind this, as behind arming. SYNC(doorbell.sleep) */
        pcn_fetch_or_seq_cst32(&bell->word, PCN_SLEEPER);
        pcn_fence_seq_cst();
    }
    return slept;
}

/* Clear the sleepers' bit and count the ring; false if nobody was announced. */
static bool clear(struct pcn_doorbell *bell)
{
    /* SYNC(doorbell.sleep): what was published is visible before the bit is read. */
    pcn_fence_seq_cst();
    uint32_t seen = pcn_load_relaxed32(&bell->word);
    while (seen & PCN_SLEEPER) {
        if (pcn_cas_relaxed32(&bell->word, &seen, (seen & ~PCN_SLEEPER) + PCN_RUNG))
            return true;
    }
    return false;
}

bool pcn_doorbell_ring(struct pcn_doorbell *bell)
{
    if (!clear(bell))
        return false;
    PCN_FAILPOINT("doorbell.ring.cleared");
    return pcn_futex_wake(&bell->word, 1) > 0;
}

void pcn_doorbell_broadcast(struct pcn_doorbell *bell)
{
    clear(bell);
    pcn_futex_wake(&bell->word, INT_MAX);
}
