/* Counted permits, of which a dead process's are known to be missing. Protocol: semaphore.md. */
#ifndef PCN_SEMAPHORE_H
#define PCN_SEMAPHORE_H

#include "arena.h"
#include "doorbell.h"
#include "mutex.h"
#include "object.h"

#define PCN_SEMAPHORE_MOST 2147483647u

/* The body of a PCN_SEMAPHORE. */
struct pcn_semaphore {
    /* version << 33 | permits << 2 | RESERVED | SLEEPERS. Each change of the permits is one
     * exchange of this word, and a new version. A death leaves it before or after one. */
    pcn_atomic64 word;
    uint32_t initial; /* written once, before others know of it */
    uint32_t maximum;
    /* 1: somebody gave a permit that it did not hold, so permits belong to nobody. Whoever
     * does that writes it first; nobody changes it back. */
    pcn_atomic32 signals;
    /* Where those sleep who have waited for long; as a mutex's. */
    struct pcn_doorbell starving;
    pcn_atomic32 misses; /* see patience.h; a hint, anybody's */
};

/* To be called once, by who made the object. */
void pcn_semaphore_init(struct pcn_semaphore *semaphore, uint32_t initial, uint32_t maximum);

static inline struct pcn_semaphore *pcn_semaphore_at(const struct pcn_arena *arena,
                                                     struct pcn_name name)
{
    return pcn_object_body(arena, name.object);
}

/* How many permits there are now. */
static inline uint32_t pcn_semaphore_value(const struct pcn_semaphore *semaphore)
{
    return (uint32_t)(pcn_load_relaxed64(&semaphore->word) >> 2) & PCN_SEMAPHORE_MOST;
}

/* Take a permit if there is one, whoever waits. `hold` is this process's record, which one
 * thread at a time may write. */
bool pcn_semaphore_try(struct pcn_semaphore *semaphore, struct pcn_hold *hold);

/* The same for who waits, or will (`wait` is NULL before): who starves goes first. */
bool pcn_semaphore_take(struct pcn_semaphore *semaphore, struct pcn_hold *hold,
                        const struct pcn_wait *wait);

/* Sleep until a permit may be had. PCN_OK: try to take one; PCN_TIMEOUT; PCN_SIGNAL: a signal
 * handler ran; PCN_OWNER_DIED: `dead` died and its permits are missing. */
enum pcn_status pcn_semaphore_wait(const struct pcn_arena *arena, struct pcn_name name,
                                   const struct pcn_wait *wait, pcn_token *dead);

/* Give one permit. PCN_OK; PCN_FULL: there are as many as there may be. */
enum pcn_status pcn_semaphore_release(struct pcn_semaphore *semaphore, struct pcn_hold *hold);

/* Give back what dead processes held; how many permits. Each is given back once, whoever
 * else does the same, and dies at it. */
uint32_t pcn_semaphore_recover(struct pcn_arena *arena, struct pcn_name name);

#endif
