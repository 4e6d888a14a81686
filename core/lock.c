#include "lock.h"

#include "failpoint.h"
#include "owner.h"
#include "platform.h"

#define PCN_SPINS 100
#define PCN_LOCK_STEP_NS 2000000u /* a waiter looks after its owner's life this often */
#define PCN_SLEEPERS 1u

static pcn_atomic32 *futex_half(struct pcn_lock *lock)
{
    /* The half that holds the sleepers' bit, the slot and part of the generation. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (pcn_atomic32 *)(void *)&lock->word;
#else
    return (pcn_atomic32 *)(void *)&lock->word + 1;
#endif
}

pcn_token pcn_lock_owner(const struct pcn_lock *lock)
{
    return pcn_load_relaxed64(&lock->word) >> 1;
}

static bool try_free(struct pcn_lock *lock, uint64_t mine)
{
    uint64_t expected = 0;
    /* SYNC(lock.hold): what the last holder wrote is visible from here on.
     * SYNC(lock.name): and our slot is, to who reads our name. */
    return pcn_cas_acq_rel64(&lock->word, &expected, mine);
}

/* Inherit the lock of a dead owner. Exactly one waiter wins the exchange. */
static bool try_inherit(struct pcn_lock *lock, uint64_t seen, uint64_t mine)
{
    /* SYNC(lock.hold): a dead owner released nothing; that we know of its death orders
     * its writes before ours (owner.md). SYNC(lock.name): as above. */
    return pcn_cas_acq_rel64(&lock->word, &seen, mine | PCN_SLEEPERS);
}

static uint64_t look(const struct pcn_lock *lock)
{
    /* SYNC(lock.name): the named owner's slot is counted and in that generation, for us
     * too; or the living would be taken for dead. */
    return pcn_load_acquire64(&lock->word);
}

static bool spin(struct pcn_lock *lock, uint64_t mine)
{
    for (int turn = 0; turn < PCN_SPINS; turn++) {
        if (pcn_load_relaxed64(&lock->word) == 0 && try_free(lock, mine))
            return true;
        pcn_relax();
    }
    return false;
}

enum pcn_status pcn_lock_try(const struct pcn_arena *arena, struct pcn_lock *lock,
                             pcn_token me)
{
    uint64_t mine = me << 1;
    if (try_free(lock, mine) || spin(lock, mine))
        return PCN_OK;
    uint64_t seen = look(lock);
    if (seen != 0 && !pcn_owner_alive(arena, seen >> 1) && try_inherit(lock, seen, mine))
        return PCN_OWNER_DIED;
    return PCN_BUSY;
}

enum pcn_status pcn_lock_acquire(const struct pcn_arena *arena, struct pcn_lock *lock,
                                 pcn_token me)
{
    uint64_t mine = me << 1;
    if (try_free(lock, mine) || spin(lock, mine))
        return PCN_OK;
    for (;;) {
        /* From here on we may not be the only sleeper: take it with the bit set, which
         * costs one needless wake at most. */
        if (pcn_load_relaxed64(&lock->word) == 0 && try_free(lock, mine | PCN_SLEEPERS))
            return PCN_OK;
        uint64_t seen = look(lock);
        if (seen == 0)
            continue;
        if (!pcn_owner_alive(arena, seen >> 1)) {
            if (try_inherit(lock, seen, mine))
                return PCN_OWNER_DIED;
            continue;
        }
        if (!(seen & PCN_SLEEPERS)) {
            uint64_t expected = seen;
            if (!pcn_cas_relaxed64(&lock->word, &expected, seen | PCN_SLEEPERS))
                continue;
            seen |= PCN_SLEEPERS;
        }
        PCN_FAILPOINT("lock.acquire.sleeping");
        pcn_futex_wait(futex_half(lock), (uint32_t)seen, PCN_LOCK_STEP_NS);
    }
}

void pcn_lock_release(struct pcn_lock *lock)
{
    /* SYNC(lock.hold): all that the holder wrote, before the lock is seen free. */
    uint64_t before = pcn_exchange_release64(&lock->word, 0);
    PCN_FAILPOINT("lock.release.freed");
    if (before & PCN_SLEEPERS)
        pcn_futex_wake(futex_half(lock), 1);
}
