#include "event.h"

#include <limits.h>

#include "failpoint.h"
#include "patience.h"
#include "platform.h"

void pcn_event_set(struct pcn_event *event)
{
    uint32_t seen = pcn_load_relaxed32(&event->word);
    uint32_t after;
    do {
        after = seen | PCN_EVENT_SET;
        if (!(seen & PCN_EVENT_SET))
            after = (after & ~PCN_EVENT_SLEEPERS) + PCN_EVENT_COUNTED;
        /* Exchanged though it may be set already: who clears it must see what we wrote.
         * SYNC(event.set): all that was written before, for who finds it set or clears it. */
    } while (!pcn_cas_acq_rel32(&event->word, &seen, after));
    PCN_FAILPOINT("event.set.stored");
    if (seen & PCN_EVENT_SLEEPERS)
        pcn_futex_wake(&event->word, INT_MAX);
}

void pcn_event_clear(struct pcn_event *event)
{
    /* SYNC(event.set): who clears it sees what was written before it was set. */
    uint32_t seen = pcn_load_acquire32(&event->word);
    while (seen & PCN_EVENT_SET) {
        /* SYNC(event.set): as above, for a later one than that. */
        if (pcn_cas_acq_rel32(&event->word, &seen, seen & ~PCN_EVENT_SET))
            return;
    }
}

bool pcn_event_came(const struct pcn_event *event, uint32_t ticket)
{
    uint32_t word = pcn_event_ticket(event);
    return word & PCN_EVENT_SET || word / PCN_EVENT_COUNTED != ticket / PCN_EVENT_COUNTED;
}

struct look {
    const struct pcn_event *event;
    uint32_t ticket;
};

static bool came(const void *what)
{
    const struct look *look = what;
    return pcn_event_came(look->event, look->ticket);
}

bool pcn_event_spin(struct pcn_event *event, uint32_t ticket)
{
    struct look look = {event, ticket};
    /* Not alone: where the cores are wanted, who sets it may need ours. */
    return pcn_spin_beside(came, &look, &event->misses, false);
}

enum pcn_status pcn_event_sleep(struct pcn_event *event, uint32_t ticket, uint64_t timeout_ns)
{
    uint32_t seen = pcn_load_relaxed32(&event->word);
    do {
        if (pcn_event_came(event, ticket))
            return PCN_OK;
    } while (!(seen & PCN_EVENT_SLEEPERS) &&
             !pcn_cas_relaxed32(&event->word, &seen, seen | PCN_EVENT_SLEEPERS));
    PCN_FAILPOINT("event.sleep.armed");
    uint64_t step = timeout_ns < PCN_EVENT_STEP_NS ? timeout_ns : PCN_EVENT_STEP_NS;
    enum pcn_slept slept =
        pcn_futex_wait(&event->word, seen | PCN_EVENT_SLEEPERS, step);
    PCN_FAILPOINT("event.sleep.woken");
    if (pcn_event_came(event, ticket))
        return PCN_OK;
    return slept == PCN_SLEPT_SIGNAL ? PCN_SIGNAL : PCN_TIMEOUT;
}
