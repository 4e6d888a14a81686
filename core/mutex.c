#include "mutex.h"

#include "owner.h"
#include "patience.h"
#include "platform.h"

#define PCN_SPINS 100
#define SLEEPERS PCN_MUTEX_SLEEPERS
#define RESERVED PCN_MUTEX_RESERVED

static pcn_atomic32 *futex_half(struct pcn_mutex *mutex)
{
    /* The half that holds the bits, the slot and part of the generation. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (pcn_atomic32 *)(void *)&mutex->word;
#else
    return (pcn_atomic32 *)(void *)&mutex->word + 1;
#endif
}

static pcn_token owner_in(uint64_t word)
{
    return word >> 2;
}

static uint64_t look(const struct pcn_mutex *mutex)
{
    /* SYNC(mutex.name): the named owner's slot is counted and in that generation, for us
     * too; or the living would be taken for dead. */
    return pcn_load_acquire64(&mutex->word);
}

/* Enter: exchange exactly what was seen for our name. */
static bool enter(const struct pcn_arena *arena, struct pcn_mutex *mutex, uint64_t seen,
                  uint64_t bits)
{
    /* SYNC(mutex.hold): what the last owner wrote is visible from here on; a dead one
     * released nothing, but that we know of its death orders its writes before ours.
     * SYNC(mutex.name): and our slot is, to who reads our name. */
    return pcn_cas_acq_rel64(&mutex->word, &seen, arena->me << 2 | bits);
}

static bool is_orphan(const struct pcn_arena *arena, uint64_t seen, pcn_token *dead)
{
    *dead = owner_in(seen);
    return *dead != 0 && !pcn_owner_alive(arena, *dead);
}

enum pcn_status pcn_mutex_try(const struct pcn_arena *arena, struct pcn_mutex *mutex,
                              pcn_token *dead)
{
    for (;;) {
        uint64_t seen = look(mutex);
        if (owner_in(seen) != 0)
            return is_orphan(arena, seen, dead) ? PCN_OWNER_DIED : PCN_BUSY;
        if (enter(arena, mutex, seen, seen & PCN_MUTEX_BITS)) { /* others wait as before */
            PCN_FAILPOINT("mutex.try.taken");
            return PCN_OK;
        }
    }
}

bool pcn_mutex_spin(const struct pcn_arena *arena, struct pcn_mutex *mutex)
{
    for (int turn = 0; turn < PCN_SPINS; turn++) {
        uint64_t seen = pcn_load_relaxed64(&mutex->word);
        if (seen == 0 && pcn_mutex_take(arena, mutex))
            return true;
        if (seen & RESERVED || owner_in(seen) == arena->me)
            return false; /* others go first, or one of our threads needs us out of its way */
        pcn_relax();
    }
    return false;
}

static bool is_free(const void *mutex)
{
    return pcn_mutex_owner(mutex) == 0;
}

/* Whoever goes without the lock passes on the wake-up that it may have swallowed. */
static enum pcn_status withdraw(struct pcn_mutex *mutex, bool starving, enum pcn_status status)
{
    uint64_t seen = pcn_load_relaxed64(&mutex->word);
    while (starving && seen & RESERVED &&
           !pcn_cas_relaxed64(&mutex->word, &seen, seen & ~(uint64_t)RESERVED))
        continue;
    PCN_FAILPOINT("mutex.withdraw.cleared");
    if (!pcn_doorbell_ring(&mutex->starving))
        pcn_futex_wake(futex_half(mutex), 1);
    return status;
}

/* Among those that starve. The lock is looked at once more between arming and sleeping. */
static enum pcn_slept sleep_starving(struct pcn_mutex *mutex, uint64_t step)
{
    uint32_t ticket = pcn_doorbell_arm(&mutex->starving);
    uint64_t seen = pcn_load_relaxed64(&mutex->word);
    if (owner_in(seen) == 0)
        return PCN_SLEPT_CHANGED;
    if (!(seen & RESERVED) && !pcn_cas_relaxed64(&mutex->word, &seen, seen | RESERVED))
        return PCN_SLEPT_CHANGED;
    PCN_FAILPOINT("mutex.acquire.starving");
    return pcn_doorbell_sleep(&mutex->starving, ticket, step);
}

static enum pcn_slept sleep_on_word(struct pcn_mutex *mutex, uint64_t seen, uint64_t step)
{
    if (!(seen & SLEEPERS)) {
        if (!pcn_cas_relaxed64(&mutex->word, &seen, seen | SLEEPERS))
            return PCN_SLEPT_CHANGED;
        seen |= SLEEPERS;
    }
    PCN_FAILPOINT("mutex.acquire.sleeping");
    return pcn_futex_wait(futex_half(mutex), (uint32_t)seen, step);
}

static uint64_t least(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

enum pcn_status pcn_mutex_acquire(const struct pcn_arena *arena, struct pcn_mutex *mutex,
                                  const struct pcn_wait *wait, pcn_token *dead)
{
    enum pcn_slept slept = PCN_SLEPT_CHANGED;
    uint64_t entered = pcn_now_ns();
    bool spun = false;
    for (;;) {
        uint64_t now = pcn_now_ns();
        bool starving = now >= wait->began + PCN_STARVING_NS;
        uint64_t seen = look(mutex);
        if (owner_in(seen) == 0 && (starving || !(seen & RESERVED))) {
            /* We may not be the only sleeper: take it with the bit set, which costs one
             * needless wake at most. The others that starve are to reserve it anew. */
            if (!enter(arena, mutex, seen, SLEEPERS))
                continue;
            PCN_FAILPOINT("mutex.acquire.taken");
            if (seen & RESERVED)
                pcn_doorbell_ring(&mutex->starving);
            return PCN_OK;
        }
        if (is_orphan(arena, seen, dead))
            return withdraw(mutex, starving, PCN_OWNER_DIED);
        /* A signal may have come between two sleeps, or to another thread: say so now and then. */
        if (slept == PCN_SLEPT_SIGNAL ||
            (slept == PCN_SLEPT_TIMEOUT && now >= entered + PCN_LOOK_UP_NS))
            return withdraw(mutex, starving, PCN_SIGNAL);
        if (now >= wait->deadline)
            return withdraw(mutex, starving, PCN_TIMEOUT);
        if (!spun && owner_in(seen) != 0) {
            spun = true; /* once; who comes too late behind that sleeps */
            if (pcn_spin(is_free, mutex, &mutex->misses))
                continue;
        }
        uint64_t step = least(PCN_PATIENCE_NS, wait->deadline - now);
        if (starving)
            slept = sleep_starving(mutex, step);
        else
            slept = sleep_on_word(mutex, seen, least(step, wait->began + PCN_STARVING_NS - now));
    }
}

enum pcn_status pcn_mutex_release(struct pcn_mutex *mutex, pcn_token *owner)
{
    uint64_t seen = pcn_load_relaxed64(&mutex->word);
    do {
        if (owner_in(seen) == 0)
            return PCN_EMPTY;
        /* Reserved: the bits stay for who starves; else whoever wakes sets its bit again.
         * SYNC(mutex.hold): all that the owner wrote, before the lock is seen free. */
    } while (!pcn_cas_acq_rel64(&mutex->word, &seen,
                                seen & RESERVED ? seen & PCN_MUTEX_BITS : 0));
    PCN_FAILPOINT("mutex.release.freed");
    *owner = owner_in(seen);
    if (seen & RESERVED)
        pcn_doorbell_ring(&mutex->starving);
    else if (seen & SLEEPERS)
        pcn_futex_wake(futex_half(mutex), 1);
    return PCN_OK;
}

enum pcn_status pcn_mutex_recover(struct pcn_arena *arena, struct pcn_name name)
{
    struct pcn_mutex *mutex = pcn_mutex_at(arena, name);
    uint64_t seen;
    pcn_token dead;
    do {
        seen = look(mutex);
        if (!is_orphan(arena, seen, &dead))
            return PCN_BUSY;
    } while (!enter(arena, mutex, seen, (seen & PCN_MUTEX_BITS) | SLEEPERS));
    PCN_FAILPOINT("mutex.recover.taken");
    /* All remains: also those of which somebody died between these two steps. */
    pcn_hold_settle(arena, name, 0);
    return PCN_OK;
}
