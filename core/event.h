/* Events: a flag to wait for. Protocol: event.md. */
#ifndef PCN_EVENT_H
#define PCN_EVENT_H

#include "arena.h"

/* A sleeper looks again this often: who set the flag may have died before it woke anybody. */
#define PCN_EVENT_STEP_NS 50000000u

/* The body of a PCN_EVENT; all zero is one that is not set. */
struct pcn_event {
    /* Bit 0: set. Bit 1: somebody may sleep. The rest counts how often it became set. Each
     * step is one exchange of this word. A death leaves at worst bit 1 without a sleeper: one
     * needless wake; or sleepers that nobody wakes: they look again by themselves. */
    pcn_atomic32 word;
    pcn_atomic32 misses; /* spins in vain; only a hint */
};

#define PCN_EVENT_SET 1u
#define PCN_EVENT_SLEEPERS 2u
#define PCN_EVENT_COUNTED 4u

static inline bool pcn_event_is_set(const struct pcn_event *event)
{
    /* SYNC(event.set): what was written before it was set is visible from here on. */
    return pcn_load_acquire32(&event->word) & PCN_EVENT_SET;
}

/* Set it, and wake all who wait. */
void pcn_event_set(struct pcn_event *event);

void pcn_event_clear(struct pcn_event *event);

/* The moment from which on a wait counts. */
static inline uint32_t pcn_event_ticket(const struct pcn_event *event)
{
    /* SYNC(event.set): as above. */
    return pcn_load_acquire32(&event->word);
}

/* Is it set, or was it since `ticket`, though perhaps cleared again? */
bool pcn_event_came(const struct pcn_event *event, uint32_t ticket);

/* Look for it for a moment without sleeping; whether it came. */
bool pcn_event_spin(struct pcn_event *event, uint32_t ticket);

/* Sleep until it comes, one step at most. PCN_OK: it came; PCN_TIMEOUT: not yet; PCN_SIGNAL: a
 * signal handler ran. */
enum pcn_status pcn_event_sleep(struct pcn_event *event, uint32_t ticket, uint64_t timeout_ns);

#endif
