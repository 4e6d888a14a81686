#include "block.h"

#include <errno.h>

#include "failpoint.h"
#include "headroom.h"
#include "heap.h"
#include "owner.h"
#include "platform.h"

static struct pcn_block *by_id(const struct pcn_arena *arena, pcn_block_id id)
{
    return pcn_block_at(arena, id - 1);
}

uint64_t pcn_class_capacity(uint32_t size_class)
{
    uint64_t base = (uint64_t)PCN_PAGE * 4 << size_class / 4;
    return base / 4 * (4 + size_class % 4);
}

uint32_t pcn_block_class(uint64_t length)
{
    if (length <= PCN_PAGE * 4)
        return 0;
    uint64_t last = length - 1;
    uint32_t doublings = 63u - 14u - (uint32_t)__builtin_clzll(last);
    uint32_t quarter = (uint32_t)(last >> (doublings + 12)) - 4;
    uint32_t size_class = 4 * doublings + quarter + 1;
    return size_class < PCN_CLASSES ? size_class : PCN_CLASSES;
}

static void give_up(struct pcn_arena *arena, const struct pcn_run *run)
{
    pcn_heap_lock(arena, true);
    pcn_heap_put(arena, run->first, true);
    pcn_heap_trim(arena);
    pcn_heap_unlock(arena, true);
}

/* Make sure of the pages of a run that is ours, without the lock: that may take long. */
static enum pcn_status reserve(struct pcn_arena *arena, const struct pcn_run *run)
{
    struct pcn_block *block = pcn_block_at(arena, run->first);
    int refused = 0;
    if (run->cold >= PCN_ASK_SYSTEM && pcn_headroom() < run->cold)
        refused = ENOMEM;
    if (!refused)
        refused = pcn_reserve_pages(arena->fd, pcn_load_relaxed64(&block->offset), run->bytes);
    PCN_FAILPOINT("block.take.reserved");
    if (refused) {
        give_up(arena, run);
        errno = refused;
        return PCN_NO_MEMORY;
    }
    for (uint32_t part = run->count; part-- > 0;) /* the first one last: it speaks for all */
        pcn_store_relaxed32(&pcn_block_at(arena, run->first + part)->warm, 1);
    return PCN_OK;
}

static enum pcn_status allocate(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                struct pcn_run *run, bool wait)
{
    if (pcn_heap_lock(arena, wait) == PCN_BUSY)
        return PCN_BUSY;
    PCN_FAILPOINT("block.allocate.locked");
    enum pcn_status status = pcn_heap_take(arena, use, length, run, wait);
    pcn_heap_unlock(arena, false);
    return status;
}

enum pcn_status pcn_block_allocate_for(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                       pcn_block_id *id, bool wait)
{
    enum pcn_status status = PCN_OK;
    for (int turn = 0; turn < 2; turn++) { /* a refusal has what is free give its pages back */
        struct pcn_run run;
        status = allocate(arena, use, length, &run, wait);
        if (status != PCN_OK)
            return status;
        *id = run.first + 1;
        if (run.cold == 0)
            return PCN_OK;
        status = reserve(arena, &run);
        if (status == PCN_OK)
            return PCN_OK;
    }
    return status;
}

enum pcn_status pcn_block_allocate(struct pcn_arena *arena, uint64_t length, pcn_block_id *id,
                                   bool wait)
{
    enum pcn_use use = length <= PCN_RECORD ? PCN_FOR_RECORDS : PCN_FOR_RESULTS;
    return pcn_block_allocate_for(arena, use, length, id, wait);
}

static bool is_in_use(const struct pcn_block *block)
{
    uint32_t state = pcn_load_relaxed32(&block->state);
    return state == PCN_BLOCK_OWNED || state == PCN_BLOCK_TRANSIT;
}

enum pcn_status pcn_block_free(struct pcn_arena *arena, pcn_block_id id, bool cold, bool wait)
{
    if (pcn_heap_lock(arena, wait) == PCN_BUSY)
        return PCN_BUSY;
    PCN_FAILPOINT("block.free.locked");
    bool freed = is_in_use(by_id(arena, id));
    if (freed)
        pcn_heap_put(arena, id - 1, cold);
    pcn_heap_unlock(arena, freed);
    return PCN_OK;
}

/* ---- the budget ---- */

uint64_t pcn_block_budget(const struct pcn_arena *arena)
{
    return pcn_load_relaxed64(&pcn_head(arena)->budget);
}

void pcn_block_set_budget(struct pcn_arena *arena, uint64_t bytes)
{
    struct pcn_head *head = pcn_head(arena);
    pcn_heap_lock(arena, true);
    pcn_store_relaxed64(&head->budget, bytes);
    PCN_FAILPOINT("block.budget.set");
    uint64_t paged = pcn_load_relaxed64(&head->paged);
    if (bytes != 0 && paged > bytes)
        pcn_heap_cool(arena, paged - bytes, PCN_CLASSES);
    pcn_heap_unlock(arena, true);
}

uint32_t pcn_block_freed(const struct pcn_arena *arena)
{
    return pcn_load_relaxed32(&pcn_head(arena)->freed);
}

enum pcn_status pcn_block_wait_freed(struct pcn_arena *arena, uint32_t seen, uint64_t timeout_ns)
{
    struct pcn_head *head = pcn_head(arena);
    pcn_heap_lock(arena, true);
    bool changed = pcn_load_relaxed32(&head->freed) != seen;
    if (!changed)
        pcn_store_relaxed32(&head->room_waiters, 1);
    pcn_heap_unlock(arena, false);
    if (changed)
        return PCN_OK;
    switch (pcn_futex_wait(&head->freed, seen, timeout_ns)) {
    case PCN_SLEPT_TIMEOUT:
        return PCN_TIMEOUT;
    case PCN_SLEPT_SIGNAL:
        return PCN_SIGNAL;
    default:
        return PCN_OK;
    }
}

/* ---- from process to process ---- */

void pcn_block_send(struct pcn_arena *arena, pcn_block_id id, pcn_token receiver)
{
    struct pcn_block *block = by_id(arena, id);
    pcn_store_relaxed64(&block->sender, arena->me);
    PCN_FAILPOINT("block.send.signed");
    pcn_store_relaxed64(&block->owner, receiver);
    PCN_FAILPOINT("block.send.addressed");
    /* SYNC(block.transit): whoever sees TRANSIT sees sender and owner. */
    pcn_store_release32(&block->state, PCN_BLOCK_TRANSIT);
    PCN_FAILPOINT("block.send.transit");
}

void pcn_block_adopt(struct pcn_arena *arena, pcn_block_id id)
{
    struct pcn_block *block = by_id(arena, id);
    /* SYNC(block.transit): the record that named the block was published after this. */
    if (pcn_load_acquire32(&block->state) != PCN_BLOCK_TRANSIT)
        return;
    pcn_store_relaxed64(&block->sender, 0);
    PCN_FAILPOINT("block.adopt.unsigned");
    pcn_store_relaxed32(&block->state, PCN_BLOCK_OWNED);
}

/* Free every block for which `theirs` holds. */
static uint32_t free_where(struct pcn_arena *arena,
                           bool (*theirs)(const struct pcn_arena *, const struct pcn_block *,
                                          pcn_token),
                           pcn_token whom, bool cold)
{
    pcn_heap_lock(arena, true);
    uint32_t freed = 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        if (theirs(arena, pcn_block_at(arena, index), whom)) {
            pcn_heap_put(arena, index, cold);
            freed++;
        }
    }
    pcn_heap_unlock(arena, freed != 0);
    return freed;
}

static bool sent_to_me_by(const struct pcn_arena *arena, const struct pcn_block *block,
                          pcn_token sender)
{
    /* A sender that died between addressing a block and marking it leaves it OWNED by
     * the receiver, with its own signature. SYNC(block.transit) */
    uint32_t state = pcn_load_acquire32(&block->state);
    return sender != 0 && (state == PCN_BLOCK_TRANSIT || state == PCN_BLOCK_OWNED) &&
           pcn_load_relaxed64(&block->sender) == sender &&
           pcn_load_relaxed64(&block->owner) == arena->me;
}

uint32_t pcn_block_reclaim(struct pcn_arena *arena, pcn_token sender)
{
    return free_where(arena, sent_to_me_by, sender, true);
}

static bool owned_by(const struct pcn_arena *arena, const struct pcn_block *block,
                     pcn_token owner)
{
    (void)arena;
    pcn_token has = pcn_load_relaxed64(&block->owner);
    /* Sweepers that died have begun generations of their own since the owner's. */
    return is_in_use(block) &&
           pcn_token_slot(has) == pcn_token_slot(owner) && has <= owner;
}

uint32_t pcn_block_sweep(struct pcn_arena *arena, pcn_token owner)
{
    return free_where(arena, owned_by, owner, true);
}

void pcn_block_give(struct pcn_arena *arena, pcn_block_id id, pcn_token owner, uint32_t object)
{
    pcn_store_relaxed32(&by_id(arena, id)->object, object);
    pcn_block_send(arena, id, owner);
}

void pcn_block_give_marked(struct pcn_arena *arena, pcn_block_id id, pcn_token owner,
                           uint32_t object, uint64_t mark)
{
    struct pcn_block *block = by_id(arena, id);
    pcn_store_relaxed32(&block->object, object);
    pcn_store_relaxed64(&block->sender, mark);
    PCN_FAILPOINT("block.give.marked");
    /* SYNC(block.given): who sees whose it is sees the mark. */
    pcn_store_release64(&block->owner, owner);
    PCN_FAILPOINT("block.give.addressed");
    /* SYNC(block.transit): as in pcn_block_send(). */
    pcn_store_release32(&block->state, PCN_BLOCK_TRANSIT);
    PCN_FAILPOINT("block.give.transit");
}

void pcn_block_mark(struct pcn_arena *arena, pcn_block_id id, uint64_t mark)
{
    pcn_store_relaxed64(&by_id(arena, id)->sender, mark);
}

bool pcn_block_has_mark(const struct pcn_arena *arena, pcn_block_id id, pcn_token owner,
                        uint64_t *mark)
{
    const struct pcn_block *block = by_id(arena, id);
    /* SYNC(block.given): the mark is not one of earlier. */
    if (pcn_load_acquire64(&block->owner) != owner)
        return false;
    uint32_t state = pcn_load_relaxed32(&block->state); /* a free one may still bear the name */
    if (state != PCN_BLOCK_OWNED && state != PCN_BLOCK_TRANSIT)
        return false;
    /* SYNC(block.given): nor one of later, if it has not changed hands meanwhile. */
    *mark = pcn_load_acquire64(&block->sender);
    return pcn_load_relaxed64(&block->owner) == owner;
}

void pcn_block_take_over(struct pcn_arena *arena, pcn_block_id id)
{
    struct pcn_block *block = by_id(arena, id);
    /* The mark stays until it is ours: the object's kind may have to find it. It is no process's
     * token, so a reclaim can not mistake it for a signature. */
    pcn_store_relaxed64(&block->owner, arena->me);
    PCN_FAILPOINT("block.take_over.owned");
    /* SYNC(block.transit): as in pcn_block_send(). */
    pcn_store_release32(&block->state, PCN_BLOCK_OWNED);
    pcn_store_relaxed64(&block->sender, 0);
}

static bool owned_exactly_by(const struct pcn_arena *arena, const struct pcn_block *block,
                             pcn_token owner)
{
    (void)arena;
    return is_in_use(block) && pcn_load_relaxed64(&block->owner) == owner;
}

void pcn_block_free_of(struct pcn_arena *arena, pcn_block_id id, pcn_token owner)
{
    pcn_heap_lock(arena, true);
    bool theirs = owned_exactly_by(arena, by_id(arena, id), owner);
    if (theirs)
        pcn_heap_put(arena, id - 1, false);
    pcn_heap_unlock(arena, theirs);
}

uint32_t pcn_block_sweep_object(struct pcn_arena *arena, pcn_token object)
{
    return free_where(arena, owned_exactly_by, object, false);
}

void pcn_block_trim(struct pcn_arena *arena)
{
    pcn_heap_lock(arena, true);
    pcn_heap_trim(arena);
    pcn_heap_unlock(arena, false);
}

uint8_t *pcn_block_bytes(const struct pcn_arena *arena, pcn_block_id id)
{
    return arena->base + pcn_block_offset(arena, id);
}

uint64_t pcn_block_length(const struct pcn_arena *arena, pcn_block_id id)
{
    return by_id(arena, id)->length;
}

uint64_t pcn_block_offset(const struct pcn_arena *arena, pcn_block_id id)
{
    return pcn_load_relaxed64(&by_id(arena, id)->offset);
}

pcn_block_id pcn_block_around(const struct pcn_arena *arena, uint64_t offset)
{
    /* SYNC(block.table): counted descriptors are whole; they lie in the order of their bytes.
     * Those behind a block that somebody has may change, but never lie before its end. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->blocks_high);
    uint32_t low = 0;
    while (low < high) { /* the first one behind it */
        uint32_t middle = low + (high - low) / 2;
        if (pcn_block_offset(arena, middle + 1) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    while (low > 0 && pcn_load_relaxed32(&by_id(arena, low)->state) == PCN_BLOCK_JOINED)
        low--;
    if (low == 0)
        return 0;
    const struct pcn_block *block = by_id(arena, low);
    uint64_t within = offset - pcn_load_relaxed64(&block->offset);
    return within < pcn_load_relaxed64(&block->capacity) ? low : 0;
}

void pcn_block_totals(const struct pcn_arena *arena, uint64_t *bytes, uint32_t *count)
{
    *bytes = 0;
    *count = 0;
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        if (is_in_use(block)) {
            *bytes += pcn_load_relaxed64(&block->capacity);
            *count += 1;
        }
    }
}
