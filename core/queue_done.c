/* Joinable queues: which items are done, and what of those that dead processes had in hand. */
#include "failpoint.h"
#include "lock.h"
#include "owner.h"
#include "queue.h"

/* In hold->held: a marking has begun. The rest is what the queue's `done` and the last bits of
 * the hold's will be; ALL: the hold's will be all that was taken. */
#define PCN_MARKING 0x80000000u
#define PCN_MARKING_ALL 0x40000000u
#define PCN_MARKED_SHIFT 28u
#define PCN_MARKED_BITS 3u

#define FOR_EACH_HOLD(share, index)                                                         \
    for (uint32_t index = pcn_hold_next((share)->arena, (share)->name, 0);                  \
         index != PCN_NO_RECORD;                                                            \
         index = pcn_hold_next((share)->arena, (share)->name, index + 1))

void pcn_queue_settle_takings(const struct pcn_share *share)
{
    uint64_t tail = pcn_load_relaxed64(&share->queue->tail);
    FOR_EACH_HOLD(share, index)
    {
        struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        uint32_t flags = pcn_load_relaxed32(&hold->flags);
        if (!(flags & PCN_TAKING))
            continue;
        uint64_t from = pcn_load_relaxed64(&hold->taking_from);
        uint64_t until = pcn_load_relaxed64(&hold->taking_until);
        uint64_t taken = pcn_load_relaxed64(&hold->taken);
        /* Nobody has retired anything since, for we have the lock from the dead one. And another
         * one may have died here, between the two stores below. */
        if (until != tail)
            pcn_store_relaxed64(&hold->taking_until, from);
        else if ((uint32_t)(taken << PCN_TAKING_SHIFT) >> PCN_TAKING_SHIFT !=
                 flags >> PCN_TAKING_SHIFT)
            pcn_store_relaxed64(&hold->taken, taken + pcn_end_items(from, until));
        PCN_FAILPOINT("queue.settle.counted");
        pcn_store_relaxed32(&hold->flags, 0);
    }
    pcn_queue_mend_takings(share);
}

/* Items taken and not done; none, where items were marked that are still in the queue. */
static uint32_t in_hand(const struct pcn_queue *queue)
{
    uint64_t tail = pcn_load_relaxed64(&queue->tail) >> PCN_POSITION_BITS;
    uint32_t count = (uint32_t)(tail - pcn_load_relaxed64(&queue->done)) & PCN_QUEUE_MOST;
    return count > PCN_QUEUE_MOST / 2 ? 0 : count;
}

uint32_t pcn_queue_unfinished(const struct pcn_queue *queue)
{
    for (;;) {
        /* SYNC(queue.done): what was done for the items is visible to who finds them done; and
         * the head we read next is not older than this. SYNC(queue.publish): nor is the look
         * below older than the head. */
        uint64_t done = pcn_load_acquire64(&queue->done);
        uint64_t head = pcn_load_acquire64(&queue->head);
        if (pcn_load_relaxed64(&queue->done) == done)
            return (uint32_t)((head >> PCN_POSITION_BITS) - done) & PCN_QUEUE_MOST;
    }
}

/* The last to hold `finish` died, perhaps in the middle of marking. */
static void settle_markings(const struct pcn_share *share)
{
    uint64_t done = pcn_load_relaxed64(&share->queue->done);
    FOR_EACH_HOLD(share, index)
    {
        struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        uint32_t held = pcn_load_relaxed32(&hold->held);
        if (!(held & PCN_MARKING))
            continue;
        uint64_t mine = pcn_load_relaxed64(&hold->done);
        if ((held & PCN_QUEUE_MOST) == (done & PCN_QUEUE_MOST)) {
            if (held & PCN_MARKING_ALL)
                pcn_store_relaxed64(&hold->done, pcn_load_relaxed64(&hold->taken));
            else if ((mine & PCN_MARKED_BITS) != (held >> PCN_MARKED_SHIFT & PCN_MARKED_BITS))
                pcn_store_relaxed64(&hold->done, mine + 1);
        }
        PCN_FAILPOINT("queue.mend.counted");
        pcn_store_relaxed32(&hold->held, 0);
    }
}

static enum pcn_status lock_finish(const struct pcn_share *share, bool wait)
{
    struct pcn_lock *lock = &share->queue->finish;
    enum pcn_status got = wait ? pcn_lock_acquire(share->arena, lock, share->arena->me)
                               : pcn_lock_try(share->arena, lock, share->arena->me);
    if (got == PCN_OWNER_DIED)
        settle_markings(share);
    return got;
}

static void lock_consume(const struct pcn_share *share)
{
    if (pcn_lock_acquire(share->arena, &share->queue->consume, share->arena->me) ==
        PCN_OWNER_DIED)
        pcn_queue_settle_takings(share);
}

/* `count` items are done, of those that the hold's owner took: one, or all of them. */
static void mark(struct pcn_queue *queue, struct pcn_hold *hold, uint32_t count, uint64_t after,
                 uint32_t how)
{
    uint64_t done = pcn_load_relaxed64(&queue->done) + count;
    pcn_store_relaxed32(&hold->held, PCN_MARKING | how | (uint32_t)(done & PCN_QUEUE_MOST));
    PCN_FAILPOINT("queue.done.signed");
    /* SYNC(queue.done): what was done for the item, before it is. */
    pcn_store_release64(&queue->done, done);
    PCN_FAILPOINT("queue.done.stored");
    pcn_store_relaxed64(&hold->done, after);
    PCN_FAILPOINT("queue.done.counted");
    pcn_store_relaxed32(&hold->held, 0);
}

static void report_end(struct pcn_queue *queue)
{
    if (pcn_queue_unfinished(queue) != 0)
        return;
    /* SYNC(doorbell.sleep): as in pcn_doorbell_ring(), but all are to wake. */
    pcn_fence_seq_cst();
    if (pcn_load_relaxed32(&queue->finished.word) & 1u)
        pcn_doorbell_broadcast(&queue->finished);
}

enum pcn_status pcn_queue_done(const struct pcn_share *share, bool wait)
{
    struct pcn_queue *queue = share->queue;
    if (lock_finish(share, wait) == PCN_BUSY)
        return PCN_BUSY;
    PCN_FAILPOINT("queue.done.locked");
    bool any = pcn_queue_unfinished(queue) != 0;
    if (any) {
        uint64_t after = pcn_load_relaxed64(&share->hold->done) + 1;
        mark(queue, share->hold, 1, after,
             (uint32_t)(after & PCN_MARKED_BITS) << PCN_MARKED_SHIFT);
    }
    pcn_lock_release(&queue->finish);
    PCN_FAILPOINT("queue.done.unlocked");
    if (!any)
        return PCN_EMPTY;
    report_end(queue);
    return PCN_OK;
}

enum pcn_status pcn_queue_wait_done(const struct pcn_share *share, uint64_t timeout_ns)
{
    struct pcn_queue *queue = share->queue;
    uint32_t ticket = pcn_doorbell_arm(&queue->finished);
    if (pcn_queue_unfinished(queue) == 0)
        return PCN_OK;
    switch (pcn_doorbell_sleep(&queue->finished, ticket, timeout_ns)) {
    case PCN_SLEPT_SIGNAL:
        return PCN_SIGNAL;
    case PCN_SLEPT_TIMEOUT:
        return PCN_TIMEOUT;
    default:
        return PCN_OK;
    }
}

/* More taken than done: it has, or had, something in hand. */
static bool has_some(const struct pcn_hold *hold)
{
    return (int64_t)(pcn_load_relaxed64(&hold->taken) - pcn_load_relaxed64(&hold->done)) > 0;
}

/* Did the hold's owner crash? Who has ended in order is no death for a queue: what it took is for
 * another one to mark, and the sweep keeps no remains of it. */
static bool has_crashed(const struct pcn_arena *arena, const struct pcn_hold *hold)
{
    pcn_token owner = pcn_load_relaxed64(&hold->owner);
    if (pcn_load_relaxed32(&hold->kind) == PCN_REMAINS)
        return true;
    if (owner == 0 || pcn_owner_alive(arena, owner))
        return false;
    /* SYNC(owner.leaving): if this is a newer owner's, the sweep of the hold is over, and seen. */
    const struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(owner));
    bool left = pcn_load_acquire32(&slot->leaving) != 0;
    if (pcn_load_relaxed32(&hold->kind) == PCN_REMAINS)
        return true;
    return !left && pcn_load_relaxed64(&hold->owner) == owner;
}

/* Might a dead one be the reason? Without the locks. */
static bool is_suspicious(const struct pcn_share *share)
{
    FOR_EACH_HOLD(share, index)
    {
        const struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        if ((has_some(hold) || pcn_load_relaxed32(&hold->flags) ||
             pcn_load_relaxed32(&hold->held)) &&
            has_crashed(share->arena, hold))
            return true;
    }
    return false;
}

pcn_token pcn_queue_culprit(const struct pcn_share *share)
{
    struct pcn_queue *queue = share->queue;
    if (!is_suspicious(share))
        return 0;
    lock_consume(share);
    bool died = lock_finish(share, true) == PCN_OWNER_DIED;
    (void)died; /* it was settled */
    uint64_t with_the_living = 0;
    pcn_token dead = 0;
    FOR_EACH_HOLD(share, index)
    {
        const struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        if (!has_some(hold))
            continue;
        if (has_crashed(share->arena, hold))
            dead = pcn_load_relaxed64(&hold->owner);
        else
            with_the_living +=
                pcn_load_relaxed64(&hold->taken) - pcn_load_relaxed64(&hold->done);
    }
    bool is_lost = in_hand(queue) > with_the_living;
    pcn_lock_release(&queue->finish);
    pcn_lock_release(&queue->consume);
    return is_lost ? dead : 0;
}

uint32_t pcn_queue_recover(const struct pcn_share *share)
{
    struct pcn_queue *queue = share->queue;
    lock_consume(share); /* settles what a dead one took */
    pcn_lock_release(&queue->consume);
    bool died = lock_finish(share, true) == PCN_OWNER_DIED;
    (void)died; /* it was settled */
    uint32_t recovered = 0;
    FOR_EACH_HOLD(share, index)
    {
        struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        if (!has_crashed(share->arena, hold))
            continue;
        if (has_some(hold)) {
            uint64_t taken = pcn_load_relaxed64(&hold->taken);
            uint64_t lost = taken - pcn_load_relaxed64(&hold->done);
            uint32_t most = in_hand(queue); /* others may have marked some of them */
            uint32_t count = lost < most ? (uint32_t)lost : most;
            mark(queue, hold, count, taken, PCN_MARKING_ALL);
            recovered += count;
        }
        pcn_hold_settle(share->arena, share->name, pcn_load_relaxed64(&hold->owner));
        PCN_FAILPOINT("queue.recover.settled");
    }
    pcn_lock_release(&queue->finish);
    report_end(queue);
    return recovered;
}
