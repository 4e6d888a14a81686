#include "heap.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "failpoint.h"
#include "lock.h"
#include "platform.h"

/* Reserving more bytes than this takes too long for who would not wait. */
#define PCN_LONG_WORK (256u << 10)

uint64_t pcn_heap_own_bytes(const struct pcn_arena *arena, uint32_t index)
{
    const struct pcn_block *block = pcn_block_at(arena, index);
    /* Nothing can be joined to the last one, whose bytes have no other end. */
    if (index + 1 == pcn_load_relaxed32(&pcn_head(arena)->blocks_high))
        return pcn_load_relaxed64(&block->capacity);
    return pcn_load_relaxed64(&pcn_block_at(arena, index + 1)->offset) -
           pcn_load_relaxed64(&block->offset);
}

static void link_free(struct pcn_arena *arena, struct pcn_block *block, uint32_t index)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t *lists = pcn_load_relaxed32(&block->warm) ? head->free_warm : head->free_cold;
    block->next_free = lists[block->size_class];
    lists[block->size_class] = index + 1;
}

static struct pcn_block *unlink_first(struct pcn_arena *arena, uint32_t *list, uint32_t *index)
{
    *index = *list - 1;
    struct pcn_block *block = pcn_block_at(arena, *index);
    *list = block->next_free;
    return block;
}

void pcn_heap_relink(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    memset(head->free_warm, 0, sizeof head->free_warm);
    memset(head->free_cold, 0, sizeof head->free_cold);
    PCN_FAILPOINT("block.relink.cleared");
    for (uint32_t index = pcn_load_relaxed32(&head->blocks_high); index-- > 0;) {
        struct pcn_block *block = pcn_block_at(arena, index);
        if (pcn_load_relaxed32(&block->state) == PCN_BLOCK_FREE)
            link_free(arena, block, index);
    }
}

/* An owner died under the lock: what is derived is built anew from the table. */
static void rebuild(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t high = pcn_load_relaxed32(&head->blocks_high);
    uint64_t paged = 0, warm_free = 0;
    uint32_t before = PCN_BLOCK_FREE; /* the state of the last one that was not joined */
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_block *block = pcn_block_at(arena, index);
        uint64_t bytes = pcn_heap_own_bytes(arena, index);
        uint32_t state = pcn_load_relaxed32(&block->state);
        if (state != PCN_BLOCK_JOINED) {
            before = state;
        } else if (before == PCN_BLOCK_FREE) { /* half joined, or half freed */
            pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
            state = PCN_BLOCK_FREE;
            PCN_FAILPOINT("block.rebuild.parted");
        }
        if (state == PCN_BLOCK_FREE) {
            pcn_store_relaxed64(&block->capacity, bytes);
            if (pcn_load_relaxed32(&block->warm))
                warm_free += bytes;
            else /* the dead one may have reserved them, or not yet returned them */
                pcn_return_pages(arena->fd, pcn_load_relaxed64(&block->offset), bytes);
        }
        if (pcn_heap_in_use(state) || pcn_load_relaxed32(&block->warm))
            paged += bytes;
    }
    pcn_store_relaxed64(&head->paged, paged);
    pcn_store_relaxed64(&head->warm_free, warm_free);
    pcn_heap_relink(arena);
}

enum pcn_status pcn_heap_lock(struct pcn_arena *arena, bool wait)
{
    struct pcn_head *head = pcn_head(arena);
    enum pcn_status got = wait ? pcn_lock_acquire(arena, &head->heap_lock, arena->me)
                               : pcn_lock_try(arena, &head->heap_lock, arena->me);
    if (got == PCN_OWNER_DIED) {
        rebuild(arena);
        got = PCN_OK;
    }
    return got;
}

void pcn_heap_unlock(struct pcn_arena *arena, bool freed)
{
    struct pcn_head *head = pcn_head(arena);
    bool wake = false;
    if (freed) {
        pcn_store_relaxed32(&head->freed, pcn_load_relaxed32(&head->freed) + 1);
        wake = pcn_load_relaxed32(&head->room_waiters) != 0;
        if (wake)
            pcn_store_relaxed32(&head->room_waiters, 0);
        PCN_FAILPOINT("block.unlock.counted");
    }
    pcn_lock_release(&head->heap_lock);
    if (wake)
        pcn_futex_wake(&head->freed, INT_MAX);
}

/* ---- pages ---- */

uint64_t pcn_heap_most_warm(const struct pcn_arena *arena)
{
    uint64_t share = pcn_load_relaxed64(&pcn_head(arena)->budget) / 8;
    return share > PCN_WARM_TOTAL ? share : PCN_WARM_TOTAL;
}

/* Of a free block that is on no list. */
static void return_pages(struct pcn_arena *arena, struct pcn_block *block)
{
    pcn_store_relaxed32(&block->warm, 0);
    PCN_FAILPOINT("block.cold.marked");
    pcn_return_pages(arena->fd, pcn_load_relaxed64(&block->offset),
                     pcn_load_relaxed64(&block->capacity));
}

static uint64_t cool_class(struct pcn_arena *arena, uint32_t size_class, uint64_t bytes)
{
    struct pcn_head *head = pcn_head(arena);
    uint64_t cooled = 0;
    while (cooled < bytes && head->free_warm[size_class] != 0) {
        uint32_t index;
        struct pcn_block *block = unlink_first(arena, &head->free_warm[size_class], &index);
        uint64_t capacity = pcn_load_relaxed64(&block->capacity);
        return_pages(arena, block);
        pcn_heap_account(&head->paged, 0, capacity);
        pcn_heap_account(&head->warm_free, 0, capacity);
        PCN_FAILPOINT("block.cool.returned");
        link_free(arena, block, index);
        cooled += capacity;
    }
    return cooled;
}

void pcn_heap_cool(struct pcn_arena *arena, uint64_t bytes, uint32_t last)
{
    uint64_t cooled = 0;
    for (uint32_t size_class = PCN_CLASSES; size_class-- > 0 && cooled < bytes;)
        if (size_class != last)
            cooled += cool_class(arena, size_class, bytes - cooled);
    if (cooled < bytes && last < PCN_CLASSES)
        cool_class(arena, last, bytes - cooled);
}

void pcn_heap_trim(struct pcn_arena *arena)
{
    pcn_heap_cool(arena, UINT64_MAX, PCN_CLASSES);
}

/* ---- taking ---- */

/* Where the next new block begins: behind the last one. Derived, so no death can leave a
 * frontier that disagrees with the table. */
static uint64_t frontier(const struct pcn_arena *arena, uint32_t high)
{
    if (high == 0)
        return PCN_DATA_AT;
    const struct pcn_block *last = pcn_block_at(arena, high - 1);
    return pcn_load_relaxed64(&last->offset) + pcn_heap_own_bytes(arena, high - 1);
}

/* A descriptor for a new, cold block of the class; on its free list. 0, or the reason: ENOSPC
 * means that addresses or descriptors are lacking. */
static int extend(struct pcn_arena *arena, uint32_t size_class)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t high = pcn_load_relaxed32(&head->blocks_high);
    uint64_t offset = frontier(arena, high);
    uint64_t capacity = pcn_class_capacity(size_class);
    if (high >= PCN_MAX_BLOCKS || arena->reserve - offset < capacity)
        return ENOSPC;
    uint64_t at = PCN_BLOCKS_AT + (uint64_t)high * PCN_BLOCK_SIZE;
    int refused = pcn_reserve_pages(arena->fd, at, PCN_BLOCK_SIZE);
    if (refused)
        return ENOMEM;
    struct pcn_block *block = pcn_block_at(arena, high);
    pcn_store_relaxed64(&block->offset, offset);
    pcn_store_relaxed64(&block->capacity, capacity);
    block->length = 0;
    block->size_class = size_class;
    pcn_store_relaxed32(&block->warm, 0);
    pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
    PCN_FAILPOINT("block.extend.described");
    /* SYNC(block.table): the descriptor is whole before it is counted. */
    pcn_store_release32(&head->blocks_high, high + 1);
    PCN_FAILPOINT("block.extend.counted");
    link_free(arena, block, high);
    return 0;
}

/* Bytes that `use` may have in use. */
static uint64_t most_in_use(const struct pcn_arena *arena, enum pcn_use use)
{
    uint64_t budget = pcn_load_relaxed64(&pcn_head(arena)->budget);
    if (budget == 0)
        return UINT64_MAX;
    switch (use) {
    case PCN_FOR_ARGUMENTS:
        return budget / 4 * 3;
    case PCN_FOR_RECORDS:
        return budget + budget / 8;
    default:
        return budget;
    }
}

uint64_t pcn_block_most(const struct pcn_arena *arena, enum pcn_use use)
{
    uint64_t most = most_in_use(arena, use);
    uint64_t addresses = arena->reserve - PCN_DATA_AT;
    if (most > addresses)
        most = addresses;
    uint32_t size_class = pcn_block_class(most);
    while (size_class > 0 &&
           (size_class >= PCN_CLASSES || pcn_class_capacity(size_class) > most))
        size_class--;
    return most < pcn_class_capacity(0) ? 0 : pcn_class_capacity(size_class);
}

static bool fits(const struct pcn_arena *arena, enum pcn_use use, uint64_t bytes)
{
    uint64_t most = most_in_use(arena, use);
    uint64_t in_use = pcn_heap_paged(arena) - pcn_heap_warm_free(arena);
    return in_use <= most && bytes <= most - in_use;
}

/* Its blocks leave the lists and become one, which is ours. */
static void own(struct pcn_arena *arena, uint64_t length, const struct pcn_run *run)
{
    struct pcn_head *head = pcn_head(arena);
    struct pcn_block *block = pcn_block_at(arena, run->first);
    for (uint32_t part = 1; part < run->count; part++) {
        pcn_store_relaxed32(&pcn_block_at(arena, run->first + part)->state, PCN_BLOCK_JOINED);
        PCN_FAILPOINT("block.join.marked");
    }
    if (run->count > 1)
        pcn_store_relaxed64(&block->capacity, run->bytes);
    block->length = length;
    pcn_store_relaxed64(&block->sender, 0);
    pcn_store_relaxed64(&block->owner, arena->me);
    PCN_FAILPOINT("block.take.named");
    pcn_store_relaxed32(&block->state, PCN_BLOCK_OWNED);
    PCN_FAILPOINT("block.take.owned");
    pcn_heap_account(&head->paged, run->cold, 0);
    pcn_heap_account(&head->warm_free, 0, run->bytes - run->cold);
}

/* May the run become ours? */
static enum pcn_status permit(const struct pcn_arena *arena, enum pcn_use use,
                              const struct pcn_run *run, bool wait)
{
    if (!fits(arena, use, run->bytes)) {
        errno = EDQUOT;
        return PCN_NO_MEMORY;
    }
    if (!wait && run->cold > PCN_LONG_WORK)
        return PCN_BUSY;
    return PCN_OK;
}

/* What is free and warm gives way to what has just been taken cold. */
static void give_way(struct pcn_arena *arena, enum pcn_use use, uint32_t last)
{
    uint64_t most = most_in_use(arena, use == PCN_FOR_ARGUMENTS ? PCN_FOR_RESULTS : use);
    uint64_t paged = pcn_heap_paged(arena);
    if (paged > most)
        pcn_heap_cool(arena, paged - most, last);
}

static enum pcn_status take_listed(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                   uint32_t *list, struct pcn_run *run, bool wait)
{
    uint32_t first = *list - 1;
    const struct pcn_block *block = pcn_block_at(arena, first);
    uint64_t bytes = pcn_load_relaxed64(&block->capacity);
    *run = (struct pcn_run){first, 1, bytes, pcn_load_relaxed32(&block->warm) ? 0 : bytes};
    enum pcn_status status = permit(arena, use, run, wait);
    if (status != PCN_OK)
        return status;
    uint32_t unused;
    unlink_first(arena, list, &unused);
    PCN_FAILPOINT("block.take.unlinked");
    own(arena, length, run);
    if (run->cold)
        give_way(arena, use, block->size_class);
    return PCN_OK;
}

/* Addresses or descriptors are lacking: free neighbours are joined. */
static enum pcn_status take_joined(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                   struct pcn_run *run, bool wait)
{
    enum pcn_status status = permit(arena, use, run, wait);
    if (status != PCN_OK)
        return status;
    own(arena, length, run);
    pcn_heap_relink(arena);
    if (run->cold)
        give_way(arena, use, PCN_CLASSES);
    return PCN_OK;
}

static enum pcn_status take_scarce(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                                   uint32_t size_class, struct pcn_run *run, bool wait)
{
    uint64_t needed = length ? (length + PCN_PAGE - 1) / PCN_PAGE * PCN_PAGE : PCN_PAGE;
    bool found = pcn_heap_tightest(arena, needed, run);
    if (found && run->bytes / 2 <= needed && fits(arena, use, run->bytes))
        return take_joined(arena, use, length, run, wait);
    if (pcn_heap_retract(arena, pcn_class_capacity(size_class))) {
        if (extend(arena, size_class) == 0)
            return take_listed(arena, use, length, &pcn_head(arena)->free_cold[size_class], run,
                               wait);
        found = pcn_heap_tightest(arena, needed, run);
    }
    if (found)
        return take_joined(arena, use, length, run, wait);
    errno = EDQUOT; /* until others free what they have */
    return PCN_NO_MEMORY;
}

enum pcn_status pcn_heap_take(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                              struct pcn_run *run, bool wait)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t size_class = pcn_block_class(length);
    if (size_class >= PCN_CLASSES) {
        errno = EDQUOT;
        return PCN_NO_MEMORY;
    }
    if (head->free_warm[size_class] != 0)
        return take_listed(arena, use, length, &head->free_warm[size_class], run, wait);
    if (head->free_cold[size_class] == 0) {
        if (!fits(arena, use, pcn_class_capacity(size_class))) {
            errno = EDQUOT;
            return PCN_NO_MEMORY;
        }
        int refused = extend(arena, size_class);
        if (refused == ENOSPC)
            return take_scarce(arena, use, length, size_class, run, wait);
        if (refused) {
            errno = refused;
            return PCN_NO_MEMORY;
        }
    }
    return take_listed(arena, use, length, &head->free_cold[size_class], run, wait);
}

/* ---- freeing ---- */

/* One descriptor of a block that has been freed. */
static void put_part(struct pcn_arena *arena, uint32_t index, uint64_t bytes, bool cold)
{
    struct pcn_head *head = pcn_head(arena);
    struct pcn_block *block = pcn_block_at(arena, index);
    if (cold || !pcn_load_relaxed32(&block->warm)) {
        return_pages(arena, block);
        pcn_heap_account(&head->paged, 0, bytes);
    } else {
        pcn_heap_account(&head->warm_free, bytes, 0);
    }
    link_free(arena, block, index);
    PCN_FAILPOINT("block.free.linked");
}

static bool is_joined(const struct pcn_arena *arena, uint32_t index)
{
    return index < pcn_load_relaxed32(&pcn_head(arena)->blocks_high) &&
           pcn_load_relaxed32(&pcn_block_at(arena, index)->state) == PCN_BLOCK_JOINED;
}

/* A block that others are joined to: each becomes what it was. */
static void put_parts(struct pcn_arena *arena, uint32_t index, bool cold)
{
    uint64_t bytes = pcn_heap_own_bytes(arena, index);
    pcn_store_relaxed64(&pcn_block_at(arena, index)->capacity, bytes);
    PCN_FAILPOINT("block.free.shrunk");
    put_part(arena, index, bytes, cold);
    for (uint32_t part = index + 1; is_joined(arena, part); part++) {
        struct pcn_block *block = pcn_block_at(arena, part);
        pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
        PCN_FAILPOINT("block.free.parted");
        put_part(arena, part, pcn_load_relaxed64(&block->capacity), cold);
    }
}

void pcn_heap_put(struct pcn_arena *arena, uint32_t index, bool cold)
{
    struct pcn_block *block = pcn_block_at(arena, index);
    uint64_t bytes = pcn_load_relaxed64(&block->capacity);
    uint64_t most = pcn_heap_most_warm(arena), warm = pcn_heap_warm_free(arena) + bytes;
    cold = cold || bytes > most || !pcn_load_relaxed32(&block->warm) ||
           pcn_heap_paged(arena) > most_in_use(arena, PCN_FOR_RECORDS);
    if (!cold && warm > most)
        pcn_heap_cool(arena, warm - most, block->size_class);
    pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
    PCN_FAILPOINT("block.free.marked");
    if (is_joined(arena, index + 1))
        put_parts(arena, index, cold);
    else
        put_part(arena, index, bytes, cold);
}
