#include "condition.h"

#include "failpoint.h"
#include "owner.h"
#include "patience.h"
#include "platform.h"

#define FIRST_PAUSE_NS PCN_PATIENCE_NS
#define LAST_PAUSE_NS (32 * FIRST_PAUSE_NS)

/* A spot's ticket: its number at the condition, and how often anybody waited at the spot. */
#define TICKET_BITS 40
#define TICKET_MASK (((uint64_t)1 << TICKET_BITS) - 1)
/* A spot's state: PCN_SPOT_WAITING, and in which of its turns. */
#define KIND_MASK 3u
#define TURN_SHIFT 2

static uint64_t ticket_of(const struct pcn_spot *spot)
{
    return pcn_load_relaxed64(&spot->ticket) & TICKET_MASK;
}

static uint32_t next_turn(const struct pcn_spot *spot)
{
    uint32_t turn = (uint32_t)(pcn_load_relaxed64(&spot->ticket) >> TICKET_BITS) + 1;
    turn &= UINT32_MAX >> (32 - (64 - TICKET_BITS));
    return turn ? turn : 1; /* 0 is that of a spot which stands at something else */
}

/* One writer at a time: who has the user's lock. */
static uint64_t count(pcn_atomic64 *counter)
{
    uint64_t value = pcn_load_relaxed64(counter) + 1;
    pcn_store_relaxed64(counter, value);
    return value;
}

void pcn_condition_enter(struct pcn_arena *arena, struct pcn_condition_wait *wait,
                         uint32_t op, const char *place)
{
    struct pcn_condition *condition = pcn_condition_at(arena, wait->name);
    uint32_t turn = next_turn(wait->spot);
    wait->ticket = count(&condition->tickets) & TICKET_MASK;
    wait->standing = PCN_SPOT_WAITING | turn << TURN_SHIFT;
    wait->pause = FIRST_PAUSE_NS;
    wait->next = 0;
    wait->surplus = 0;
    pcn_store_relaxed64(&wait->spot->ticket, (uint64_t)turn << TICKET_BITS | wait->ticket);
    PCN_FAILPOINT("condition.enter.numbered");
    pcn_spot_stand(arena, wait->spot, wait->name, op, place);
    PCN_FAILPOINT("condition.enter.standing");
    /* SYNC(condition.turn): who reads this turn sees where we stand by now. */
    pcn_store_release32(&wait->spot->state, wait->standing);
    PCN_FAILPOINT("condition.enter.waiting");
}

static bool is_notified(const void *what)
{
    const struct pcn_condition_wait *wait = what;
    return pcn_load_relaxed32(&wait->spot->state) != wait->standing;
}

bool pcn_condition_spin(struct pcn_arena *arena, const struct pcn_condition_wait *wait)
{
    /* Not alone: where the cores are wanted, who notifies us may need ours. */
    return pcn_spin_beside(is_notified, wait, &pcn_condition_at(arena, wait->name)->misses, false);
}

/* ---- what the dead bear ---- */

/* A spot that was notified and whose thread never came to know: exactly one waiter gets it. */
static bool take_from_spot(struct pcn_arena *arena, const struct pcn_condition_wait *wait)
{
    for (uint32_t index = pcn_spot_next(arena, wait->name, 0); index != PCN_NO_RECORD;
         index = pcn_spot_next(arena, wait->name, index + 1)) {
        struct pcn_spot *spot = pcn_spot_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&spot->owner);
        uint32_t notified = PCN_SPOT_NOTIFIED;
        if (owner == 0 || pcn_load_relaxed32(&spot->state) != PCN_SPOT_NOTIFIED ||
            pcn_owner_alive(arena, owner) ||
            !pcn_cas_relaxed32(&spot->state, &notified, PCN_SPOT_IDLE))
            continue;
        PCN_FAILPOINT("condition.take.spot");
        pcn_store_relaxed64(&spot->serial, 0);
        pcn_cas_relaxed64(&spot->owner, &owner, 0);
        return true;
    }
    return false;
}

/* One of those that a dead process had learned of, before it had the lock again. */
static bool take_from_hold(struct pcn_arena *arena, const struct pcn_condition_wait *wait)
{
    for (uint32_t index = pcn_hold_next(arena, wait->name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, wait->name, index + 1)) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&hold->owner);
        uint32_t held = pcn_load_relaxed32(&hold->held);
        if (held == 0 || owner == arena->me || !pcn_hold_is_dead(arena, hold))
            continue;
        while (held != 0 && !pcn_cas_relaxed32(&hold->held, &held, held - 1))
            continue;
        if (held == 0)
            continue;
        PCN_FAILPOINT("condition.take.hold");
        if (held == 1)
            pcn_hold_settle(arena, wait->name, owner);
        return true;
    }
    return false;
}

static bool is_something_borne(const struct pcn_arena *arena,
                               const struct pcn_condition_wait *wait)
{
    const struct pcn_condition *condition = pcn_condition_at(arena, wait->name);
    return pcn_load_relaxed64(&condition->given) != pcn_load_relaxed64(&condition->done) &&
           wait->ticket <= pcn_load_relaxed64(&condition->told);
}

/* The process bears one more, or so many less. Its threads do that at once. */
static void bear(const struct pcn_condition_wait *wait)
{
    pcn_add_relaxed32(&wait->hold->held, 1);
}

static void unbear(const struct pcn_condition_wait *wait, uint32_t less)
{
    pcn_add_relaxed32(&wait->hold->held, 0u - less);
}

/* Look whether a dead process bears a notification, and take it over. It is ours before it
 * is taken from the dead: our own death may double it, but loses none. */
static bool inherit(struct pcn_arena *arena, struct pcn_condition_wait *wait)
{
    uint64_t now = pcn_now_ns();
    if (now < wait->next || !is_something_borne(arena, wait))
        return false;
    bear(wait);
    PCN_FAILPOINT("condition.inherit.borne");
    bool taken = take_from_spot(arena, wait) || take_from_hold(arena, wait);
    uint32_t standing = wait->standing;
    if (taken && !pcn_cas_relaxed32(&wait->spot->state, &standing, PCN_SPOT_NOTIFIED)) {
        wait->surplus = 1; /* we were notified ourselves just now */
        return true;
    }
    PCN_FAILPOINT("condition.inherit.notified");
    unbear(wait, 1); /* there was none, or our spot says it now */
    wait->next = now + wait->pause;
    if (wait->pause < LAST_PAUSE_NS)
        wait->pause *= 2;
    return taken;
}

/* ---- waiting ---- */

static bool is_orphaned(const struct pcn_arena *arena, const struct pcn_mutex *lock)
{
    if (!lock)
        return false;
    /* SYNC(mutex.name): the named owner's slot is counted, for us too. */
    pcn_token owner = pcn_load_acquire64(&lock->word) >> 2;
    return owner != 0 && !pcn_owner_alive(arena, owner);
}

enum pcn_status pcn_condition_sleep(struct pcn_arena *arena, struct pcn_condition_wait *wait,
                                    uint64_t timeout_ns)
{
    uint64_t step = timeout_ns < PCN_PATIENCE_NS ? timeout_ns : PCN_PATIENCE_NS;
    PCN_FAILPOINT("condition.sleep.begun");
    enum pcn_slept slept = pcn_futex_wait(&wait->spot->state, wait->standing, step);
    PCN_FAILPOINT("condition.sleep.woken");
    if (is_notified(wait) || inherit(arena, wait))
        return PCN_OK;
    if (is_orphaned(arena, wait->lock))
        return PCN_OWNER_DIED;
    return slept == PCN_SLEPT_SIGNAL ? PCN_SIGNAL : PCN_TIMEOUT;
}

bool pcn_condition_leave(const struct pcn_condition_wait *wait)
{
    uint32_t standing = wait->standing;
    bool notified = !pcn_cas_relaxed32(&wait->spot->state, &standing, PCN_SPOT_IDLE);
    PCN_FAILPOINT("condition.leave.decided");
    if (notified)
        bear(wait);
    PCN_FAILPOINT("condition.leave.borne");
    pcn_spot_leave(wait->spot);
    return notified;
}

/* ---- notifying ---- */

/* The state of a living waiter's spot, to be exchanged for PCN_SPOT_NOTIFIED; 0: there is none. */
static uint32_t waiting_state(const struct pcn_arena *arena, struct pcn_name name,
                              const struct pcn_spot *spot)
{
    /* SYNC(condition.turn): if this is a later turn than the one at our condition, the
     * serial read below is not ours any more. */
    uint32_t state = pcn_load_acquire32(&spot->state);
    pcn_token owner = pcn_load_relaxed64(&spot->owner);
    if ((state & KIND_MASK) != PCN_SPOT_WAITING || state >> TURN_SHIFT == 0 ||
        pcn_load_relaxed64(&spot->serial) != name.serial || owner == 0 ||
        !pcn_owner_alive(arena, owner))
        return 0;
    return state;
}

static bool notify_spot(struct pcn_condition *condition, struct pcn_spot *spot, uint32_t state)
{
    /* Given before it is there to be borne: a death in between makes waiters look in vain. */
    count(&condition->given);
    PCN_FAILPOINT("condition.notify.counted");
    if (!pcn_cas_relaxed32(&spot->state, &state, PCN_SPOT_NOTIFIED)) {
        pcn_add_relaxed64(&condition->done, 1); /* it had enough of waiting */
        return false;
    }
    PCN_FAILPOINT("condition.notify.notified");
    pcn_futex_wake(&spot->state, 1);
    return true;
}

static uint64_t notify_all(struct pcn_arena *arena, struct pcn_name name)
{
    struct pcn_condition *condition = pcn_condition_at(arena, name);
    uint64_t notified = 0;
    for (uint32_t index = pcn_spot_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_spot_next(arena, name, index + 1)) {
        struct pcn_spot *spot = pcn_spot_at(arena, index);
        uint32_t state = waiting_state(arena, name, spot);
        notified += state != 0 && notify_spot(condition, spot, state);
    }
    return notified;
}

/* Of those that wait with a ticket up to `last`, the one that came first; NULL: nobody does. */
static struct pcn_spot *first_waiting(struct pcn_arena *arena, struct pcn_name name,
                                      uint64_t last, uint32_t *state)
{
    struct pcn_spot *first = NULL;
    for (uint32_t index = pcn_spot_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_spot_next(arena, name, index + 1)) {
        struct pcn_spot *spot = pcn_spot_at(arena, index);
        uint64_t ticket = ticket_of(spot);
        uint32_t seen = ticket <= last ? waiting_state(arena, name, spot) : 0;
        if (seen != 0) {
            first = spot;
            *state = seen;
            last = ticket;
        }
    }
    return first;
}

static bool notify_first(struct pcn_arena *arena, struct pcn_name name, uint64_t last)
{
    uint32_t state = 0;
    struct pcn_spot *spot;
    while ((spot = first_waiting(arena, name, last, &state)) != NULL) {
        if (notify_spot(pcn_condition_at(arena, name), spot, state))
            return true;
    }
    return false;
}

uint64_t pcn_condition_notify(struct pcn_arena *arena, struct pcn_name name, uint64_t most)
{
    struct pcn_condition *condition = pcn_condition_at(arena, name);
    uint64_t tickets = pcn_load_relaxed64(&condition->tickets);
    if (tickets == pcn_load_relaxed64(&condition->quiet))
        return 0;
    pcn_store_relaxed64(&condition->told, tickets);
    PCN_FAILPOINT("condition.notify.told");
    uint64_t notified = 0;
    if (most == PCN_CONDITION_ALL)
        notified = notify_all(arena, name);
    else
        while (notified < most && notify_first(arena, name, TICKET_MASK))
            notified++;
    if (notified < most)
        pcn_store_relaxed64(&condition->quiet, tickets);
    return notified;
}

void pcn_condition_finish(struct pcn_arena *arena, const struct pcn_condition_wait *wait,
                          bool locked, bool used)
{
    struct pcn_condition *condition = pcn_condition_at(arena, wait->name);
    uint32_t borne = 1 + wait->surplus;
    uint64_t told = pcn_load_relaxed64(&condition->told) & TICKET_MASK;
    for (uint32_t spare = used ? wait->surplus : borne; locked && spare != 0; spare--)
        notify_first(arena, wait->name, told);
    PCN_FAILPOINT("condition.finish.passed_on");
    unbear(wait, borne);
    PCN_FAILPOINT("condition.finish.unborne");
    pcn_add_relaxed64(&condition->done, borne);
}

uint32_t pcn_condition_waiting(const struct pcn_arena *arena, struct pcn_name name)
{
    uint32_t waiting = 0;
    for (uint32_t index = pcn_spot_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_spot_next(arena, name, index + 1))
        waiting += waiting_state(arena, name, pcn_spot_at(arena, index)) != 0;
    return waiting;
}
