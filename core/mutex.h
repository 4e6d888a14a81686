/* The lock that users share: names its owner, and is not lost with it. Protocol: mutex.md. */
#ifndef PCN_MUTEX_H
#define PCN_MUTEX_H

#include "arena.h"
#include "doorbell.h"
#include "failpoint.h"
#include "object.h"

#define PCN_STARVING_NS 5000000u  /* who has waited this long goes first */
#define PCN_PATIENCE_NS 10000000u /* a waiter looks after its owner's life this often */
#define PCN_LOOK_UP_NS 200000000u /* and returns to its caller, for missed signals, this often */

/* The body of a PCN_MUTEX; all zero is a free one. */
struct pcn_mutex {
    /* (owner's token << 2) | RESERVED | SLEEPERS; no token: free. Each step is one exchange
     * of this word, which alone says who owns it. A death leaves the dead one's token. */
    pcn_atomic64 word;
    /* Where those sleep who have waited for long. Rung by who frees a reserved lock. */
    struct pcn_doorbell starving;
    pcn_atomic32 misses; /* see patience.h; a hint, anybody's */
};

#define PCN_MUTEX_SLEEPERS 1u /* somebody may sleep on the word */
#define PCN_MUTEX_RESERVED 2u /* somebody starves: nobody else is to wait for it and win */
#define PCN_MUTEX_BITS 3u

/* One thread's waiting, kept by the caller while it is interrupted by signals. */
struct pcn_wait {
    uint64_t began;    /* pcn_now_ns(); when it first asked */
    uint64_t deadline; /* pcn_now_ns() at which to give up; UINT64_MAX: never */
};

static inline struct pcn_mutex *pcn_mutex_at(const struct pcn_arena *arena,
                                             struct pcn_name name)
{
    return pcn_object_body(arena, name.object);
}

/* Who owns it (0: nobody). */
static inline pcn_token pcn_mutex_owner(const struct pcn_mutex *mutex)
{
    return pcn_word_owner(&mutex->word);
}

/* Take it if it is free and nobody waits; the fast way in. */
static inline bool pcn_mutex_take(const struct pcn_arena *arena, struct pcn_mutex *mutex)
{
    uint64_t expected = 0;
    /* SYNC(mutex.hold): what the last owner wrote is visible from here on.
     * SYNC(mutex.name): and our slot is, to who reads our name. */
    if (!pcn_cas_acq_rel64(&mutex->word, &expected, arena->me << 2))
        return false;
    PCN_FAILPOINT("mutex.take.taken");
    return true;
}

/* Take it if it is free, whoever waits. PCN_OK; PCN_BUSY; PCN_OWNER_DIED: not taken, `dead`
 * died owning it. */
enum pcn_status pcn_mutex_try(const struct pcn_arena *arena, struct pcn_mutex *mutex,
                              pcn_token *dead);

/* Look for it without sleeping, for some microseconds; whether it was taken. */
bool pcn_mutex_spin(const struct pcn_arena *arena, struct pcn_mutex *mutex);

/* Wait for it. PCN_OK; PCN_TIMEOUT; PCN_SIGNAL: a signal handler ran, go on with the same
 * `wait`, or not; PCN_OWNER_DIED as above. */
enum pcn_status pcn_mutex_acquire(const struct pcn_arena *arena, struct pcn_mutex *mutex,
                                  const struct pcn_wait *wait, pcn_token *dead);

/* Free it, whoever owns it; `owner` is who did. PCN_OK; PCN_EMPTY: it was free. */
enum pcn_status pcn_mutex_release(struct pcn_mutex *mutex, pcn_token *owner);

/* Take it over from an owner that died; exactly one caller does. What the dead one left of it
 * is forgotten. PCN_OK; PCN_BUSY: it is free, or its owner lives. */
enum pcn_status pcn_mutex_recover(struct pcn_arena *arena, struct pcn_name name);

#endif
