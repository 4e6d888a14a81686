#include "barrier.h"

#include "failpoint.h"
#include "owner.h"
#include "patience.h"
#include "platform.h"

#define LOOK_EVERY_NS 10000000u /* for deaths */

#define COUNT_BITS 20
#define PHASE_BITS 2
#define BREAKS_BITS 16
#define TRIPS_BITS 26
#define KEY_SHIFT (COUNT_BITS + PHASE_BITS)
#define MASK(bits) (((uint64_t)1 << (bits)) - 1)

static uint32_t count_of(uint64_t word)
{
    return (uint32_t)(word & MASK(COUNT_BITS));
}

static enum pcn_barrier_phase phase_of(uint64_t word)
{
    return (enum pcn_barrier_phase)(word >> COUNT_BITS & MASK(PHASE_BITS));
}

static uint64_t key_of(uint64_t word)
{
    return word >> KEY_SHIFT;
}

static uint32_t breaks_of(uint64_t key)
{
    return (uint32_t)(key & MASK(BREAKS_BITS));
}

static uint32_t trips_of(uint64_t key)
{
    return (uint32_t)(key >> BREAKS_BITS);
}

static uint64_t make_word(uint64_t trips, uint64_t breaks, enum pcn_barrier_phase phase)
{
    return (trips & MASK(TRIPS_BITS)) << (KEY_SHIFT + BREAKS_BITS) |
           (breaks & MASK(BREAKS_BITS)) << KEY_SHIFT | (uint64_t)phase << COUNT_BITS;
}

static uint64_t look(const struct pcn_barrier *barrier)
{
    /* SYNC(barrier.round): what the others wrote before they came, and broken_at. */
    return pcn_load_acquire64(&barrier->word);
}

static bool exchange(struct pcn_barrier *barrier, uint64_t *seen, uint64_t word)
{
    /* SYNC(barrier.round): what we wrote before, for all who pass; and theirs for us. */
    return pcn_cas_acq_rel64(&barrier->word, seen, word);
}

void pcn_barrier_init(struct pcn_arena *arena, struct pcn_barrier *barrier, uint32_t parties)
{
    barrier->maker = arena->me;
    barrier->parties = parties;
}

/* ---- who waits, as his process's hold says ---- */

static uint64_t mark_of(uint64_t key)
{
    return key + 1; /* 0 is no round */
}

/* Before the word counts it: who is counted and dies is known to have been there. */
static void enter(struct pcn_hold *hold, uint64_t key)
{
    bool same = pcn_load_relaxed64(&hold->taken) == mark_of(key);
    uint32_t held = same ? pcn_load_relaxed32(&hold->held) : 0;
    pcn_store_relaxed32(&hold->held, 0); /* never the new number with the old round */
    PCN_FAILPOINT("barrier.enter.cleared");
    pcn_store_relaxed64(&hold->taken, mark_of(key));
    PCN_FAILPOINT("barrier.enter.marked");
    pcn_store_relaxed32(&hold->held, held + 1);
    PCN_FAILPOINT("barrier.enter.entered");
}

static void leave(struct pcn_hold *hold, uint64_t key)
{
    uint32_t held = pcn_load_relaxed32(&hold->held);
    if (pcn_load_relaxed64(&hold->taken) == mark_of(key) && held != 0)
        pcn_store_relaxed32(&hold->held, held - 1);
}

void pcn_barrier_depart(const struct pcn_barrier_wait *wait)
{
    leave(wait->hold, wait->key);
}

/* ---- deaths ---- */

/* Who takes part, as far as can be told. */
struct census {
    uint32_t able;       /* living threads that wait, and living processes that came before */
    uint32_t expected;   /* living processes that never came; not the maker, who often only
                            looks after the others */
    bool lost;           /* somebody died who is counted in this round */
    bool came;           /* somebody died who came before */
    uint32_t never_came; /* how many died who never came */
};

/* A dead process that ended by itself, as far as its slot still tells. */
static bool has_left(const struct pcn_arena *arena, const struct pcn_hold *hold)
{
    if (pcn_load_relaxed32(&hold->kind) == PCN_REMAINS)
        return false; /* the sweep keeps none of those */
    pcn_token owner = pcn_load_relaxed64(&hold->owner);
    const struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(owner));
    bool leaving = pcn_load_relaxed32(&slot->leaving) != 0;
    /* SYNC(owner.death): a generation that has ended is being swept: later it is either
     * remains or gone. */
    return leaving || pcn_load_acquire64(&slot->generation) != pcn_token_generation(owner);
}

static struct census take_census(const struct pcn_arena *arena,
                                 const struct pcn_barrier_wait *wait)
{
    const struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    struct census census = {0};
    for (uint32_t index = pcn_hold_next(arena, wait->name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, wait->name, index + 1)) {
        const struct pcn_hold *hold = pcn_hold_at(arena, index);
        uint32_t flags = pcn_load_relaxed32(&hold->flags);
        bool here = pcn_load_relaxed64(&hold->taken) == mark_of(wait->key);
        uint32_t threads = here ? pcn_load_relaxed32(&hold->held) : 0;
        if (!pcn_hold_is_dead(arena, hold)) {
            if (flags & PCN_BARRIER_CAME)
                census.able += threads ? threads : 1;
            else if (pcn_load_relaxed64(&hold->owner) != barrier->maker)
                census.expected++;
        } else if (threads != 0) {
            census.lost = true;
        } else if (!(flags & PCN_BARRIER_FORGIVEN) && !has_left(arena, hold)) {
            if (flags & PCN_BARRIER_CAME)
                census.came = true;
            else
                census.never_came++;
        }
    }
    return census;
}

/* ---- coming and going ---- */

enum pcn_status pcn_barrier_arrive(struct pcn_arena *arena, struct pcn_barrier_wait *wait,
                                   bool acts)
{
    struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    pcn_store_relaxed32(&wait->hold->flags,
                        pcn_load_relaxed32(&wait->hold->flags) | PCN_BARRIER_CAME);
    wait->next = 0;
    wait->missed = 0;
    for (;;) {
        uint64_t seen = look(barrier);
        wait->key = key_of(seen);
        wait->index = count_of(seen);
        if (phase_of(seen) != PCN_BARRIER_FILLING)
            return phase_of(seen) == PCN_BARRIER_ACTING ? PCN_BUSY : PCN_CLOSED;
        bool last = wait->index + 1 == barrier->parties;
        if (last && wait->index != 0 && take_census(arena, wait).lost)
            return PCN_OWNER_DIED;
        enter(wait->hold, wait->key);
        uint64_t word = seen + 1;
        if (last && acts)
            word |= (uint64_t)PCN_BARRIER_ACTING << COUNT_BITS;
        else if (last)
            word = make_word(trips_of(wait->key) + 1u, breaks_of(wait->key),
                             PCN_BARRIER_FILLING);
        if (!exchange(barrier, &seen, word)) {
            leave(wait->hold, wait->key);
            continue;
        }
        PCN_FAILPOINT("barrier.arrive.counted");
        if (last && !acts)
            pcn_doorbell_broadcast(&barrier->bell);
        return last ? PCN_OK : PCN_EMPTY;
    }
}

enum pcn_status pcn_barrier_open(struct pcn_arena *arena, const struct pcn_barrier_wait *wait)
{
    struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    uint64_t seen = look(barrier);
    do {
        if (key_of(seen) != wait->key)
            return PCN_CLOSED;
    } while (!exchange(barrier, &seen,
                       make_word(trips_of(wait->key) + 1u, breaks_of(wait->key),
                                 PCN_BARRIER_FILLING)));
    PCN_FAILPOINT("barrier.open.opened");
    pcn_doorbell_broadcast(&barrier->bell);
    return PCN_OK;
}

void pcn_barrier_withdraw(struct pcn_arena *arena, const struct pcn_barrier_wait *wait)
{
    struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    uint64_t seen = look(barrier);
    while (key_of(seen) == wait->key && phase_of(seen) == PCN_BARRIER_FILLING &&
           !exchange(barrier, &seen, seen - 1))
        continue;
    PCN_FAILPOINT("barrier.withdraw.uncounted");
    leave(wait->hold, wait->key);
}

/* ---- how a round ended ---- */

enum pcn_status pcn_barrier_look(const struct pcn_arena *arena,
                                 const struct pcn_barrier_wait *wait)
{
    const struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    uint64_t word = look(barrier);
    uint64_t key = key_of(word);
    if (key == wait->key)
        return phase_of(word) == PCN_BARRIER_ACTING ? PCN_BUSY : PCN_EMPTY;
    if (breaks_of(key) == breaks_of(wait->key))
        return PCN_OK;
    if (trips_of(key) == trips_of(wait->key))
        return PCN_CLOSED;
    /* Rounds of both kinds ended since. Ours was broken off if no other one had opened when
     * the next break came. */
    uint32_t next = breaks_of(wait->key) + 1;
    uint32_t trips = pcn_load_relaxed32(&barrier->broken_at[next % PCN_BREAKS_KNOWN]);
    /* SYNC(barrier.history): not yet overwritten, if the count still says so. */
    pcn_fence_seq_cst();
    uint32_t since = breaks_of(key_of(look(barrier))) - breaks_of(wait->key);
    if ((since & MASK(BREAKS_BITS)) >= PCN_BREAKS_KNOWN)
        return PCN_CLOSED; /* it slept so long that nobody can tell */
    return trips == trips_of(wait->key) ? PCN_CLOSED : PCN_OK;
}

/* What the word becomes, and whether that breaks a round off; false: nothing is to be done. */
static bool broken_word(uint64_t seen, enum pcn_barrier_phase phase, uint64_t *word, bool *breaks)
{
    bool was_broken = phase_of(seen) == PCN_BARRIER_BROKEN;
    *breaks = !was_broken;
    *word = make_word(trips_of(key_of(seen)), breaks_of(key_of(seen)) + !was_broken, phase);
    if (phase == PCN_BARRIER_BROKEN)
        return !was_broken;
    return was_broken || count_of(seen) != 0;
}

#define ANY_ROUND UINT64_MAX

/* Break off the round with this key, if it is still on. */
static void break_off(struct pcn_arena *arena, struct pcn_barrier *barrier, uint64_t key,
                      enum pcn_barrier_phase phase)
{
    /* After a death there is nothing to mend: what it wrote is not counted. */
    bool died = pcn_lock_acquire(arena, &barrier->breaking, arena->me) == PCN_OWNER_DIED;
    (void)died;
    uint64_t seen = look(barrier);
    uint64_t word;
    bool breaks;
    while ((key == ANY_ROUND || key_of(seen) == key) &&
           broken_word(seen, phase, &word, &breaks)) {
        if (breaks) {
            /* SYNC(barrier.history): who reads this instead of the entry that stood there
             * before sees that many breaks, too. */
            pcn_fence_seq_cst();
            pcn_store_relaxed32(&barrier->broken_at[breaks_of(key_of(word)) % PCN_BREAKS_KNOWN],
                                trips_of(key_of(seen)));
        }
        PCN_FAILPOINT("barrier.break.written");
        if (exchange(barrier, &seen, word))
            break;
    }
    PCN_FAILPOINT("barrier.break.broken");
    pcn_lock_release(&barrier->breaking);
    pcn_doorbell_broadcast(&barrier->bell);
}

void pcn_barrier_break(struct pcn_arena *arena, const struct pcn_barrier_wait *wait)
{
    break_off(arena, pcn_barrier_at(arena, wait->name), wait->key, PCN_BARRIER_BROKEN);
}

void pcn_barrier_abort(struct pcn_arena *arena, struct pcn_name name)
{
    break_off(arena, pcn_barrier_at(arena, name), ANY_ROUND, PCN_BARRIER_BROKEN);
}

void pcn_barrier_reset(struct pcn_arena *arena, struct pcn_name name)
{
    /* Forgotten first: who comes in the new round is not to break it for them. */
    for (uint32_t index = pcn_hold_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, name, index + 1)) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        if (pcn_hold_is_dead(arena, hold))
            pcn_store_relaxed32(&hold->flags,
                                pcn_load_relaxed32(&hold->flags) | PCN_BARRIER_FORGIVEN);
    }
    PCN_FAILPOINT("barrier.reset.forgiven");
    pcn_hold_settle(arena, name, 0);
    break_off(arena, pcn_barrier_at(arena, name), ANY_ROUND, PCN_BARRIER_FILLING);
}

/* Can the round not end any more, for somebody died? */
static bool is_hopeless(const struct pcn_arena *arena, struct pcn_barrier_wait *wait)
{
    uint32_t parties = pcn_barrier_at(arena, wait->name)->parties;
    struct census census = take_census(arena, wait);
    if (wait->next == 0)
        wait->missed = census.never_came;
    wait->next = pcn_now_ns() + LOOK_EVERY_NS;
    return census.lost || (census.came && census.able < parties) ||
           (census.never_came > wait->missed && census.able + census.expected < parties);
}

/* ---- waiting ---- */

struct watch {
    const struct pcn_arena *arena;
    const struct pcn_barrier_wait *wait;
};

static bool has_ended(const void *what)
{
    const struct watch *watch = what;
    const struct pcn_barrier *barrier = pcn_barrier_at(watch->arena, watch->wait->name);
    /* Only a hint: pcn_barrier_look() decides. */
    return key_of(pcn_load_relaxed64(&barrier->word)) != watch->wait->key;
}

bool pcn_barrier_spin(struct pcn_arena *arena, const struct pcn_barrier_wait *wait)
{
    struct watch watch = {arena, wait};
    /* Not alone: where the cores are wanted, the others may need ours. */
    return pcn_spin_beside(has_ended, &watch, &pcn_barrier_at(arena, wait->name)->misses, false);
}

enum pcn_status pcn_barrier_sleep(struct pcn_arena *arena, struct pcn_barrier_wait *wait,
                                  uint64_t timeout_ns)
{
    struct pcn_barrier *barrier = pcn_barrier_at(arena, wait->name);
    if (pcn_now_ns() >= wait->next && is_hopeless(arena, wait))
        pcn_barrier_break(arena, wait);
    uint32_t ticket = pcn_doorbell_arm(&barrier->bell);
    enum pcn_status status = pcn_barrier_look(arena, wait);
    if (status == PCN_OK || status == PCN_CLOSED)
        return status;
    uint64_t step = timeout_ns < LOOK_EVERY_NS ? timeout_ns : LOOK_EVERY_NS;
    enum pcn_slept slept = pcn_doorbell_sleep(&barrier->bell, ticket, step);
    if (slept == PCN_SLEPT_SIGNAL)
        return PCN_SIGNAL;
    return pcn_barrier_look(arena, wait);
}

uint32_t pcn_barrier_waiting(const struct pcn_barrier *barrier)
{
    return count_of(pcn_load_relaxed64(&barrier->word));
}

bool pcn_barrier_is_broken(const struct pcn_barrier *barrier)
{
    return phase_of(pcn_load_relaxed64(&barrier->word)) == PCN_BARRIER_BROKEN;
}
