#include "claim.h"

#include <limits.h>

#include "failpoint.h"
#include "platform.h"

#define PCN_PARK_STEP_NS 1000000u /* how often a parked worker looks whether it was pardoned */

void pcn_claim_reset(struct pcn_claim *claim)
{
    pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    pcn_store_relaxed32(&claim->busy, 0);
    pcn_store_relaxed64(&claim->doomed, 0);
    pcn_store_relaxed64(&claim->stop, 0);
    pcn_store_relaxed32(&claim->area, 0);
    pcn_store_relaxed32(&claim->core, 0);
}

void pcn_claim_sign(struct pcn_claim *claim, uint64_t task, uint32_t first, uint32_t end,
                    uint64_t until)
{
    pcn_store_relaxed64(&claim->task, task);
    pcn_store_relaxed32(&claim->started, 0);
    pcn_store_relaxed64(&claim->range, pcn_range_pack(task, end, first));
    pcn_store_relaxed64(&claim->done, pcn_progress_pack(first, first, 0));
    uint64_t now = pcn_now_ns();
    pcn_store_relaxed64(&claim->since, now);
    pcn_store_relaxed64(&claim->item_since, now);
    if (pcn_load_relaxed64(&claim->stop) != 0) /* came too late for another one */
        pcn_store_relaxed64(&claim->stop, 0);
    PCN_FAILPOINT("claim.sign.written");
    pcn_store_relaxed64(&claim->until, until);
    PCN_FAILPOINT("claim.sign.signed");
}

static bool is_doomed(const struct pcn_claim *claim)
{
    /* SYNC(claim.doom): see pcn_claim_doom(). */
    uint64_t doomed = pcn_load_seq_cst64(&claim->doomed);
    return doomed != 0 && doomed == pcn_load_relaxed64(&claim->task);
}

enum pcn_status pcn_claim_begin(struct pcn_claim *claim, bool timed, uint32_t *item)
{
    uint64_t seen = pcn_load_relaxed64(&claim->range);
    struct pcn_range range = pcn_range_of(seen);
    if (range.begun >= range.end)
        return PCN_EMPTY;
    if (timed) /* before the item is: nobody may see it with the time of the one before */
        pcn_store_relaxed64(&claim->item_since, pcn_now_ns());
    PCN_FAILPOINT("claim.begin.timed");
    /* SYNC(claim.doom): begun before we look whether we are doomed; the parent looks at what
     * is begun after it has doomed us. SYNC(claim.item): and its time is there before it. */
    while (!pcn_cas_seq_cst64(&claim->range, &seen, seen + 1)) {
        range = pcn_range_of(seen); /* the parent has taken some back */
        if (range.begun >= range.end)
            return PCN_EMPTY;
    }
    PCN_FAILPOINT("claim.begin.begun");
    if (is_doomed(claim)) {
        seen = pcn_load_relaxed64(&claim->range);
        while (!pcn_cas_relaxed64(&claim->range, &seen, seen - 1))
            continue;
        PCN_FAILPOINT("claim.begin.undone");
        return PCN_BUSY;
    }
    *item = range.begun;
    return PCN_OK;
}

void pcn_claim_finish(struct pcn_claim *claim, uint32_t done, uint32_t first, uint32_t bytes)
{
    PCN_FAILPOINT("claim.finish.encoded");
    /* SYNC(claim.area): the outcomes are in the area before they are counted. */
    pcn_store_release64(&claim->done, pcn_progress_pack(done, first, bytes));
    PCN_FAILPOINT("claim.finish.stored");
}

void pcn_claim_cut(struct pcn_claim *claim)
{
    uint64_t seen = pcn_load_relaxed64(&claim->range);
    uint32_t begun = pcn_range_of(seen).begun; /* only we change that */
    while (!pcn_cas_relaxed64(&claim->range, &seen, pcn_range_pack(seen >> 48, begun, begun)))
        continue;
    PCN_FAILPOINT("claim.cut.stored");
}

uint32_t pcn_claim_take_all(struct pcn_claim *claim)
{
    uint64_t seen = pcn_load_relaxed64(&claim->range);
    uint32_t end = pcn_range_of(seen).end;
    while (!pcn_cas_relaxed64(&claim->range, &seen, pcn_range_pack(seen >> 48, end, end)))
        end = pcn_range_of(seen).end;
    PCN_FAILPOINT("claim.take_all.stored");
    return end;
}

bool pcn_claim_clear(struct pcn_claim *claim)
{
    pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    PCN_FAILPOINT("claim.clear.cleared");
    pcn_store_relaxed32(&claim->busy, 0);
    /* SYNC(claim.doom): cleared before we look whether we are doomed, see pcn_claim_doom().
     * SYNC(claim.look): and before the next claim is written over this one. */
    pcn_fence_seq_cst();
    return is_doomed(claim);
}

static pcn_atomic32 *futex_half(pcn_atomic64 *word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (pcn_atomic32 *)(void *)word;
#else
    return (pcn_atomic32 *)(void *)word + 1;
#endif
}

void pcn_claim_park(struct pcn_claim *claim)
{
    while (is_doomed(claim)) {
        PCN_FAILPOINT("claim.park.sleeping");
        pcn_futex_wait(futex_half(&claim->doomed), (uint32_t)pcn_load_relaxed64(&claim->task),
                       PCN_PARK_STEP_NS);
    }
}

static bool is_item(uint64_t asked, uint64_t range)
{
    return asked == PCN_ANY_ITEM || asked + 1 == pcn_range_of(range).begun;
}

bool pcn_claim_stop_asked(struct pcn_claim *claim)
{
    /* SYNC(claim.stop): the item was written before the task. */
    uint64_t task = pcn_load_acquire64(&claim->stop);
    if (task == 0 || task != pcn_load_relaxed64(&claim->task) ||
        pcn_load_relaxed64(&claim->until) == PCN_NO_CLAIM ||
        !is_item(pcn_load_relaxed64(&claim->stop_item), pcn_load_relaxed64(&claim->range)))
        return false;
    pcn_store_relaxed64(&claim->stop, 0);
    return true;
}

/* ---- the parent's side ---- */

static void read_claim(const struct pcn_claim *claim, struct pcn_held *held)
{
    held->task = pcn_load_relaxed64(&claim->task);
    held->started = pcn_load_relaxed32(&claim->started) != 0;
    held->since = pcn_load_relaxed64(&claim->since);
    /* What is done was begun before: in this order, no item is done and not begun.
     * SYNC(claim.area): and who reads the area of a dead one sees what was counted. */
    held->progress = pcn_progress_of(pcn_load_acquire64(&claim->done));
    /* SYNC(claim.item): the time is that of the begun item, or of the next one. */
    held->range = pcn_range_of(pcn_load_acquire64(&claim->range));
    held->item_since = pcn_load_relaxed64(&claim->item_since);
}

/* SYNC(ring.retire): what is retired was written into a claim before. */
static bool counts(uint64_t until, const struct pcn_ring *tasks)
{
    return until != PCN_NO_CLAIM && until <= pcn_load_acquire64(&tasks->tail);
}

bool pcn_claim_look(const struct pcn_claim *claim, const struct pcn_ring *tasks,
                    struct pcn_held *held)
{
    held->until = pcn_load_relaxed64(&claim->until);
    if (!counts(held->until, tasks))
        return false;
    read_claim(claim, held);
    /* SYNC(claim.look): if some of this was of a later claim, we see that this one was cleared.
     * Positions only grow: it can not have come back. */
    pcn_fence_acquire();
    return pcn_load_relaxed64(&claim->until) == held->until;
}

bool pcn_claim_doom(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                    uint64_t item)
{
    struct pcn_held held;
    pcn_store_relaxed64(&claim->doomed_item, item);
    PCN_FAILPOINT("claim.doom.aimed");
    pcn_store_relaxed64(&claim->doomed, task);
    /* SYNC(claim.doom): announced before we look at what it does. Either it is still at it
     * and sees itself doomed before it does anything else, or we see that it has gone on. */
    pcn_fence_seq_cst();
    PCN_FAILPOINT("claim.doom.announced");
    if (pcn_claim_look(claim, tasks, &held) && held.task == task &&
        (item == PCN_ANY_ITEM || (held.range.begun == item + 1 && held.progress.done == item)))
        return true;
    pcn_claim_pardon(claim);
    return false;
}

void pcn_claim_pardon(struct pcn_claim *claim)
{
    pcn_store_relaxed64(&claim->doomed, 0);
    PCN_FAILPOINT("claim.pardon.stored");
    pcn_futex_wake(futex_half(&claim->doomed), INT_MAX);
}

bool pcn_claim_stop(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                    uint64_t item)
{
    struct pcn_held held;
    if (!pcn_claim_look(claim, tasks, &held) || held.task != task ||
        (item != PCN_ANY_ITEM && held.range.begun != item + 1))
        return false;
    pcn_store_relaxed64(&claim->stop, 0);
    /* SYNC(claim.stop): the old request is void before its item is written over. */
    pcn_store_release64(&claim->stop_item, item);
    PCN_FAILPOINT("claim.stop.aimed");
    /* SYNC(claim.stop): the item before the task. */
    pcn_store_release64(&claim->stop, task);
    PCN_FAILPOINT("claim.stop.stored");
    return true;
}

bool pcn_claim_take_back(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                         uint32_t keep, uint32_t *first, uint32_t *end)
{
    struct pcn_held held;
    if (!pcn_claim_look(claim, tasks, &held) || held.task != task)
        return false;
    uint64_t seen = pcn_load_relaxed64(&claim->range);
    for (;;) {
        struct pcn_range range = pcn_range_of(seen);
        if (range.tag != (task & 0xffffu) || range.end <= 1 || range.end < range.begun ||
            range.end - range.begun <= keep)
            return false;
        *first = range.begun + keep;
        *end = range.end;
        PCN_FAILPOINT("claim.take_back.seen");
        if (pcn_cas_relaxed64(&claim->range, &seen,
                              pcn_range_pack(task, *first, range.begun)))
            break;
    }
    PCN_FAILPOINT("claim.take_back.taken");
    return true;
}

bool pcn_claim_remains(const struct pcn_claim *claim, const struct pcn_ring *tasks,
                       struct pcn_held *held)
{
    held->until = pcn_load_relaxed64(&claim->until);
    if (!counts(held->until, tasks))
        return false;
    read_claim(claim, held);
    uint64_t item = pcn_load_relaxed64(&claim->doomed_item);
    bool gone_on = pcn_load_relaxed64(&claim->doomed) == held->task && item != PCN_ANY_ITEM &&
                   held->range.begun > item + 1;
    if (gone_on || held->range.begun > held->progress.done + 1)
        held->range.begun = held->progress.done;
    return true;
}
