#include "semaphore.h"

#include "failpoint.h"
#include "owner.h"
#include "patience.h"
#include "platform.h"

#define PCN_TRIES 8u /* to find the word standing still; else at the next step */
#define SLEEPERS ((uint64_t)PCN_MUTEX_SLEEPERS)
#define RESERVED ((uint64_t)PCN_MUTEX_RESERVED)
#define BITS ((uint64_t)PCN_MUTEX_BITS)
#define ONE_PERMIT ((uint64_t)1 << 2)
#define ONE_VERSION ((uint64_t)1 << 33)

static pcn_atomic32 *futex_half(struct pcn_semaphore *semaphore)
{
    /* The half that holds the bits and most of the permits: all of it, if there are none. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (pcn_atomic32 *)(void *)&semaphore->word;
#else
    return (pcn_atomic32 *)(void *)&semaphore->word + 1;
#endif
}

static uint32_t permits_in(uint64_t word)
{
    return (uint32_t)(word >> 2) & PCN_SEMAPHORE_MOST;
}

void pcn_semaphore_init(struct pcn_semaphore *semaphore, uint32_t initial, uint32_t maximum)
{
    semaphore->initial = initial;
    semaphore->maximum = maximum;
    pcn_store_relaxed64(&semaphore->word, (uint64_t)initial << 2);
}

/* Wake one that sleeps on the word. Nobody does: the bit goes, if all is as `left` it. */
static void wake(struct pcn_semaphore *semaphore, uint64_t left)
{
    if (left & SLEEPERS && pcn_futex_wake(futex_half(semaphore), 1) == 0)
        pcn_cas_relaxed64(&semaphore->word, &left, left & ~SLEEPERS);
}

static uint32_t held(const struct pcn_hold *hold)
{
    return pcn_load_relaxed32(&hold->held);
}

/* Take a permit from what was seen; false: it changed. In the hold we have it before it is
 * ours, so what the holds say is never too little. */
static bool take(struct pcn_semaphore *semaphore, struct pcn_hold *hold, uint64_t seen,
                 uint64_t bits)
{
    pcn_store_relaxed32(&hold->held, held(hold) + 1);
    PCN_FAILPOINT("semaphore.take.counted");
    uint64_t next = ((seen & ~BITS) - ONE_PERMIT + ONE_VERSION) | bits;
    /* SYNC(semaphore.permit): what was done before a release is visible to who takes.
     * SYNC(semaphore.held): our hold counts it before the word does. */
    bool taken = pcn_cas_acq_rel64(&semaphore->word, &seen, next);
    PCN_FAILPOINT("semaphore.take.tried");
    if (!taken)
        pcn_store_relaxed32(&hold->held, held(hold) - 1);
    return taken;
}

bool pcn_semaphore_try(struct pcn_semaphore *semaphore, struct pcn_hold *hold)
{
    for (;;) {
        uint64_t seen = pcn_load_relaxed64(&semaphore->word);
        if (permits_in(seen) == 0)
            return false;
        if (take(semaphore, hold, seen, seen & BITS))
            return true;
    }
}

static bool is_starving(const struct pcn_wait *wait)
{
    return wait && pcn_now_ns() >= wait->began + PCN_STARVING_NS;
}

bool pcn_semaphore_take(struct pcn_semaphore *semaphore, struct pcn_hold *hold,
                        const struct pcn_wait *wait)
{
    for (;;) {
        uint64_t seen = pcn_load_relaxed64(&semaphore->word);
        if (permits_in(seen) == 0)
            return false;
        if (seen & RESERVED && !is_starving(wait))
            return false;
        if (!take(semaphore, hold, seen, seen & SLEEPERS))
            continue;
        /* Others that starve are to reserve it anew; if none do, and there is more, somebody
         * else may have it who was not woken while it was reserved. */
        if (seen & RESERVED && !pcn_doorbell_ring(&semaphore->starving) &&
            permits_in(seen) > 1)
            pcn_futex_wake(futex_half(semaphore), 1);
        return true;
    }
}

enum pcn_status pcn_semaphore_release(struct pcn_semaphore *semaphore, struct pcn_hold *hold)
{
    uint64_t seen = pcn_load_relaxed64(&semaphore->word);
    bool ours = held(hold) != 0;
    uint64_t next;
    do {
        if (permits_in(seen) >= semaphore->maximum)
            return PCN_FULL;
        if (!ours && pcn_load_relaxed32(&semaphore->signals) == 0)
            pcn_store_relaxed32(&semaphore->signals, 1);
        PCN_FAILPOINT("semaphore.release.marked");
        next = seen + ONE_PERMIT + ONE_VERSION;
        /* SYNC(semaphore.permit): what we did with it, before another one takes it.
         * SYNC(semaphore.held): that it belongs to nobody is known before it is there. */
    } while (!pcn_cas_acq_rel64(&semaphore->word, &seen, next));
    PCN_FAILPOINT("semaphore.release.given");
    if (ours)
        /* SYNC(semaphore.held): the word has it before our hold has not. */
        pcn_store_release32(&hold->held, held(hold) - 1);
    PCN_FAILPOINT("semaphore.release.counted");
    if (next & RESERVED)
        pcn_doorbell_ring(&semaphore->starving);
    else
        wake(semaphore, next);
    return PCN_OK;
}

/* ---- what the dead held ---- */

struct missing {
    uint64_t word;    /* as it was while the holds were added up */
    uint32_t permits; /* missing for certain */
    uint32_t held;    /* by dead ones, or a little less */
    pcn_token dead;   /* one of them; 0: none */
};

/* What the living and the dead hold, one after the other; `missing.permits` is what the word
 * and the living do not account for. */
static struct missing add_up(const struct pcn_arena *arena, struct pcn_name name,
                             uint64_t word)
{
    struct missing found = {.word = word};
    uint64_t accounted = permits_in(word);
    for (uint32_t at = pcn_hold_next(arena, name, 0); at != PCN_NO_RECORD;
         at = pcn_hold_next(arena, name, at + 1)) {
        const struct pcn_hold *hold = pcn_hold_at(arena, at);
        pcn_token owner = pcn_load_relaxed64(&hold->owner);
        /* SYNC(semaphore.held): who sees it given back sees the word changed afterwards. */
        uint32_t has = pcn_load_acquire32(&hold->held);
        if (has == 0)
            continue;
        if (!pcn_hold_is_dead(arena, hold)) {
            accounted += has;
        } else {
            found.held += has;
            found.dead = owner;
        }
    }
    if (accounted < pcn_semaphore_at(arena, name)->initial)
        found.permits = pcn_semaphore_at(arena, name)->initial - (uint32_t)accounted;
    if (found.permits > found.held)
        found.permits = found.held;
    return found;
}

/* Add up while the word stands still: the living hold at most what their records say, so what
 * is missing then was a dead one's. PCN_EMPTY: nothing; PCN_BUSY: it did not stand still. */
static enum pcn_status count_missing(const struct pcn_arena *arena, struct pcn_name name,
                                     uint32_t tries, struct missing *missing)
{
    const struct pcn_semaphore *semaphore = pcn_semaphore_at(arena, name);
    while (tries-- > 0) {
        /* SYNC(semaphore.held): a permit that is not in the word stands in a hold. */
        uint64_t word = pcn_load_acquire64(&semaphore->word);
        if (pcn_load_relaxed32(&semaphore->signals))
            return PCN_EMPTY;
        *missing = add_up(arena, name, word);
        if (missing->dead == 0)
            return PCN_EMPTY;
        /* SYNC(semaphore.held): as above. */
        pcn_fence_seq_cst();
        if (pcn_load_relaxed64(&semaphore->word) >> 2 == word >> 2)
            return missing->permits ? PCN_OK : PCN_EMPTY;
    }
    return PCN_BUSY;
}

/* Take from the records of the dead what was given back for them; forget the empty ones. */
static void settle(struct pcn_arena *arena, struct pcn_name name, uint32_t permits)
{
    for (uint32_t at = pcn_hold_next(arena, name, 0); at != PCN_NO_RECORD;
         at = pcn_hold_next(arena, name, at + 1)) {
        struct pcn_hold *hold = pcn_hold_at(arena, at);
        pcn_token owner = pcn_load_relaxed64(&hold->owner);
        if (!pcn_hold_is_dead(arena, hold))
            continue;
        uint32_t has = held(hold);
        uint32_t part = has < permits ? has : permits;
        if (!pcn_cas_relaxed32(&hold->held, &has, has - part))
            continue; /* another one settles, too: what stays here is only a name */
        permits -= part;
        PCN_FAILPOINT("semaphore.recover.settled");
        if (has == part)
            pcn_hold_settle(arena, name, owner);
    }
}

uint32_t pcn_semaphore_recover(struct pcn_arena *arena, struct pcn_name name)
{
    struct pcn_semaphore *semaphore = pcn_semaphore_at(arena, name);
    for (;;) {
        struct missing missing;
        enum pcn_status counted = count_missing(arena, name, UINT32_MAX, &missing);
        if (counted == PCN_EMPTY)
            return 0;
        /* Exactly the word that was counted at: so they are given back once. */
        uint64_t seen = missing.word;
        uint64_t next = missing.word + ONE_PERMIT * missing.permits + ONE_VERSION;
        /* SYNC(semaphore.permit): that we know of the death orders the dead one's writes. */
        if (counted != PCN_OK || !pcn_cas_acq_rel64(&semaphore->word, &seen, next))
            continue;
        PCN_FAILPOINT("semaphore.recover.given");
        settle(arena, name, missing.permits);
        pcn_doorbell_broadcast(&semaphore->starving);
        pcn_futex_wake(futex_half(semaphore), (int)missing.permits);
        return missing.permits;
    }
}

/* ---- waiting ---- */

static bool has_permits(const void *semaphore)
{
    return pcn_semaphore_value(semaphore) != 0;
}

/* Whoever goes without passes on the wake-up that it may have swallowed. */
static enum pcn_status withdraw(struct pcn_semaphore *semaphore, bool starving,
                                enum pcn_status status)
{
    uint64_t seen = pcn_load_relaxed64(&semaphore->word);
    while (starving && seen & RESERVED &&
           !pcn_cas_relaxed64(&semaphore->word, &seen, seen & ~RESERVED))
        continue;
    PCN_FAILPOINT("semaphore.withdraw.cleared");
    if (!pcn_doorbell_ring(&semaphore->starving))
        pcn_futex_wake(futex_half(semaphore), 1);
    return status;
}

/* Among those that starve. The word is looked at once more between arming and sleeping. */
static enum pcn_slept sleep_starving(struct pcn_semaphore *semaphore, uint64_t step)
{
    uint32_t ticket = pcn_doorbell_arm(&semaphore->starving);
    uint64_t seen = pcn_load_relaxed64(&semaphore->word);
    if (permits_in(seen) != 0)
        return PCN_SLEPT_CHANGED;
    if (!(seen & RESERVED) &&
        !pcn_cas_relaxed64(&semaphore->word, &seen, seen | RESERVED))
        return PCN_SLEPT_CHANGED;
    PCN_FAILPOINT("semaphore.wait.starving");
    return pcn_doorbell_sleep(&semaphore->starving, ticket, step);
}

static enum pcn_slept sleep_on_word(struct pcn_semaphore *semaphore, uint64_t seen,
                                    uint64_t step)
{
    if (!(seen & SLEEPERS)) {
        if (!pcn_cas_relaxed64(&semaphore->word, &seen, seen | SLEEPERS))
            return PCN_SLEPT_CHANGED;
        seen |= SLEEPERS;
    }
    PCN_FAILPOINT("semaphore.wait.sleeping");
    return pcn_futex_wait(futex_half(semaphore), (uint32_t)seen, step);
}

static uint64_t least(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

enum pcn_status pcn_semaphore_wait(const struct pcn_arena *arena, struct pcn_name name,
                                   const struct pcn_wait *wait, pcn_token *dead)
{
    struct pcn_semaphore *semaphore = pcn_semaphore_at(arena, name);
    enum pcn_slept slept = PCN_SLEPT_CHANGED;
    uint64_t entered = pcn_now_ns();
    uint64_t asked = wait->began;
    bool spun = false;
    for (;;) {
        uint64_t now = pcn_now_ns();
        uint64_t seen = pcn_load_relaxed64(&semaphore->word);
        bool starving = now >= wait->began + PCN_STARVING_NS;
        if (permits_in(seen) != 0 && (starving || !(seen & RESERVED)))
            return PCN_OK;
        bool leaves = now >= wait->deadline;
        if (permits_in(seen) == 0 && (leaves || now >= asked + PCN_PATIENCE_NS)) {
            asked = now;
            struct missing missing;
            if (count_missing(arena, name, PCN_TRIES, &missing) == PCN_OK) {
                *dead = missing.dead;
                return withdraw(semaphore, starving, PCN_OWNER_DIED);
            }
        }
        /* A signal may have come between two sleeps, or to another thread: say so now and then. */
        if (slept == PCN_SLEPT_SIGNAL ||
            (slept == PCN_SLEPT_TIMEOUT && now >= entered + PCN_LOOK_UP_NS))
            return withdraw(semaphore, starving, PCN_SIGNAL);
        if (leaves)
            return withdraw(semaphore, starving, PCN_TIMEOUT);
        if (!spun && permits_in(seen) == 0) {
            spun = true; /* once; who comes too late behind that sleeps */
            if (pcn_spin(has_permits, semaphore, &semaphore->misses))
                continue;
        }
        uint64_t step = least(PCN_PATIENCE_NS, wait->deadline - now);
        if (starving)
            slept = sleep_starving(semaphore, step);
        else
            slept = sleep_on_word(semaphore, seen,
                                  least(step, wait->began + PCN_STARVING_NS - now));
    }
}
