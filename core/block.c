#include "block.h"

#include <errno.h>
#include <string.h>

#include "failpoint.h"
#include "lock.h"
#include "owner.h"
#include "platform.h"

static struct pcn_block *by_id(const struct pcn_arena *arena, pcn_block_id id)
{
    return pcn_block_at(arena, id - 1);
}

uint64_t pcn_class_capacity(uint32_t size_class)
{
    uint64_t base = (uint64_t)PCN_PAGE * 4 << size_class / 4;
    return base / 4 * (4 + size_class % 4) / PCN_PAGE * PCN_PAGE;
}

uint32_t pcn_block_class(uint64_t length)
{
    uint32_t size_class = 0;
    while (size_class < PCN_CLASSES && pcn_class_capacity(size_class) < length)
        size_class++;
    return size_class;
}

/* Build the free lists anew from the table: after an owner died under the lock. */
static void rebuild(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    memset(head->free_blocks, 0, sizeof head->free_blocks);
    PCN_FAILPOINT("block.rebuild.cleared");
    uint32_t high = pcn_load_relaxed32(&head->blocks_high);
    for (uint32_t index = high; index-- > 0;) {
        struct pcn_block *block = pcn_block_at(arena, index);
        if (pcn_load_relaxed32(&block->state) != PCN_BLOCK_FREE)
            continue;
        block->next_free = head->free_blocks[block->size_class];
        head->free_blocks[block->size_class] = index + 1;
    }
}

static enum pcn_status lock_heap(struct pcn_arena *arena, bool wait)
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

static void unlock_heap(struct pcn_arena *arena)
{
    pcn_lock_release(&pcn_head(arena)->heap_lock);
}

/* Where the next new block begins: behind the last one. Derived, so no death can leave a
 * frontier that disagrees with the table. */
static uint64_t frontier(const struct pcn_arena *arena, uint32_t high)
{
    if (high == 0)
        return PCN_DATA_AT;
    const struct pcn_block *last = pcn_block_at(arena, high - 1);
    return last->offset + last->capacity;
}

static void put_free(struct pcn_arena *arena, struct pcn_block *block, pcn_block_id id)
{
    struct pcn_head *head = pcn_head(arena);
    pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
    PCN_FAILPOINT("block.free.marked");
    block->next_free = head->free_blocks[block->size_class];
    head->free_blocks[block->size_class] = id;
    PCN_FAILPOINT("block.free.linked");
}

static void return_pages(struct pcn_arena *arena, struct pcn_block *block)
{
    pcn_store_relaxed32(&block->warm, 0);
    PCN_FAILPOINT("block.cold.marked");
    pcn_return_pages(arena->fd, block->offset, block->capacity);
}

/* A descriptor for a new, cold block of the class; on the free list. */
static enum pcn_status extend(struct pcn_arena *arena, uint32_t size_class)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t high = pcn_load_relaxed32(&head->blocks_high);
    uint64_t offset = frontier(arena, high);
    uint64_t capacity = pcn_class_capacity(size_class);
    if (high >= PCN_MAX_BLOCKS || arena->reserve - offset < capacity) {
        errno = ENOMEM;
        return PCN_NO_MEMORY;
    }
    uint64_t at = PCN_BLOCKS_AT + (uint64_t)high * PCN_BLOCK_SIZE;
    int refused = pcn_reserve_pages(arena->fd, at, PCN_BLOCK_SIZE);
    if (refused) {
        errno = refused;
        return PCN_NO_MEMORY;
    }
    struct pcn_block *block = pcn_block_at(arena, high);
    block->offset = offset;
    block->capacity = capacity;
    block->length = 0;
    block->size_class = size_class;
    pcn_store_relaxed32(&block->warm, 0);
    pcn_store_relaxed32(&block->state, PCN_BLOCK_FREE);
    PCN_FAILPOINT("block.extend.described");
    /* SYNC(block.table): the descriptor is whole before it is counted. */
    pcn_store_release32(&head->blocks_high, high + 1);
    PCN_FAILPOINT("block.extend.counted");
    block->next_free = head->free_blocks[size_class];
    head->free_blocks[size_class] = high + 1;
    return PCN_OK;
}

/* Under the lock: the first free block of the class, its pages made sure of. */
static enum pcn_status take(struct pcn_arena *arena, uint32_t size_class, uint64_t length,
                            pcn_block_id *id)
{
    struct pcn_head *head = pcn_head(arena);
    if (head->free_blocks[size_class] == 0) {
        enum pcn_status status = extend(arena, size_class);
        if (status != PCN_OK)
            return status;
    }
    pcn_block_id first = head->free_blocks[size_class];
    struct pcn_block *block = by_id(arena, first);
    if (!pcn_load_relaxed32(&block->warm)) {
        int refused = pcn_reserve_pages(arena->fd, block->offset, block->capacity);
        if (refused) {
            /* A partly done reservation leaves pages behind: not in a free, cold block. */
            pcn_return_pages(arena->fd, block->offset, block->capacity);
            errno = refused;
            return PCN_NO_MEMORY;
        }
        PCN_FAILPOINT("block.take.reserved");
        pcn_store_relaxed32(&block->warm, 1);
    }
    head->free_blocks[size_class] = block->next_free;
    PCN_FAILPOINT("block.take.unlinked");
    block->length = length;
    pcn_store_relaxed64(&block->sender, 0);
    pcn_store_relaxed64(&block->owner, arena->me);
    PCN_FAILPOINT("block.take.named");
    pcn_store_relaxed32(&block->state, PCN_BLOCK_OWNED);
    PCN_FAILPOINT("block.take.owned");
    *id = first;
    return PCN_OK;
}

static void trim_locked(struct pcn_arena *arena)
{
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_block *block = pcn_block_at(arena, index);
        /* A death between reserving and marking leaves pages in a block marked cold:
         * returning them again costs little and keeps the accounts right. */
        if (pcn_load_relaxed32(&block->state) == PCN_BLOCK_FREE)
            return_pages(arena, block);
    }
}

enum pcn_status pcn_block_allocate(struct pcn_arena *arena, uint64_t length, pcn_block_id *id,
                                   bool wait)
{
    uint32_t size_class = pcn_block_class(length);
    if (size_class >= PCN_CLASSES) {
        errno = ENOMEM;
        return PCN_NO_MEMORY;
    }
    if (lock_heap(arena, wait) == PCN_BUSY)
        return PCN_BUSY;
    PCN_FAILPOINT("block.allocate.locked");
    enum pcn_status status = take(arena, size_class, length, id);
    if (status == PCN_NO_MEMORY) {
        trim_locked(arena);
        status = take(arena, size_class, length, id);
    }
    unlock_heap(arena);
    return status;
}

enum pcn_status pcn_block_free(struct pcn_arena *arena, pcn_block_id id, bool cold, bool wait)
{
    if (lock_heap(arena, wait) == PCN_BUSY)
        return PCN_BUSY;
    struct pcn_block *block = by_id(arena, id);
    PCN_FAILPOINT("block.free.locked");
    if (pcn_load_relaxed32(&block->state) != PCN_BLOCK_FREE) {
        put_free(arena, block, id);
        if (cold || block->capacity > PCN_WARM_LIMIT)
            return_pages(arena, block);
    }
    unlock_heap(arena);
    return PCN_OK;
}

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

/* Bytes of pages in free blocks; under the lock. */
static uint64_t warm_bytes(const struct pcn_arena *arena)
{
    uint64_t bytes = 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        if (pcn_load_relaxed32(&block->state) == PCN_BLOCK_FREE &&
            pcn_load_relaxed32(&block->warm))
            bytes += block->capacity;
    }
    return bytes;
}

/* Free every block for which `theirs` holds. Their pages are kept while free blocks have no
 * more than `most_warm` bytes of them. */
static uint32_t free_where(struct pcn_arena *arena,
                           bool (*theirs)(const struct pcn_arena *, const struct pcn_block *,
                                          pcn_token),
                           pcn_token whom, uint64_t most_warm)
{
    lock_heap(arena, true);
    uint32_t freed = 0;
    uint64_t warm = most_warm ? warm_bytes(arena) : 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_block *block = pcn_block_at(arena, index);
        if (theirs(arena, block, whom)) {
            put_free(arena, block, index + 1);
            if (warm + block->capacity <= most_warm)
                warm += block->capacity;
            else
                return_pages(arena, block);
            freed++;
        }
    }
    unlock_heap(arena);
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
    return free_where(arena, sent_to_me_by, sender, 0);
}

static bool owned_by(const struct pcn_arena *arena, const struct pcn_block *block,
                     pcn_token owner)
{
    (void)arena;
    uint32_t state = pcn_load_relaxed32(&block->state);
    pcn_token has = pcn_load_relaxed64(&block->owner);
    /* Sweepers that died have begun generations of their own since the owner's. */
    return (state == PCN_BLOCK_OWNED || state == PCN_BLOCK_TRANSIT) &&
           pcn_token_slot(has) == pcn_token_slot(owner) && has <= owner;
}

uint32_t pcn_block_sweep(struct pcn_arena *arena, pcn_token owner)
{
    return free_where(arena, owned_by, owner, 0);
}

void pcn_block_give(struct pcn_arena *arena, pcn_block_id id, pcn_token owner)
{
    pcn_block_send(arena, id, owner);
}

void pcn_block_take_over(struct pcn_arena *arena, pcn_block_id id)
{
    struct pcn_block *block = by_id(arena, id);
    /* The signature goes first: who gave it may be dead, and a reclaim of what it had on its way
     * to us, by another thread of ours, must not find this one. Signed or not, an object's block
     * ends with the object, and one of ours with us. */
    pcn_store_relaxed64(&block->sender, 0);
    PCN_FAILPOINT("block.take_over.unsigned");
    pcn_store_relaxed64(&block->owner, arena->me);
    /* SYNC(block.transit): as in pcn_block_send(). */
    pcn_store_release32(&block->state, PCN_BLOCK_OWNED);
}

static bool owned_exactly_by(const struct pcn_arena *arena, const struct pcn_block *block,
                             pcn_token owner)
{
    (void)arena;
    uint32_t state = pcn_load_relaxed32(&block->state);
    return (state == PCN_BLOCK_OWNED || state == PCN_BLOCK_TRANSIT) &&
           pcn_load_relaxed64(&block->owner) == owner;
}

uint32_t pcn_block_sweep_object(struct pcn_arena *arena, pcn_token object)
{
    return free_where(arena, owned_exactly_by, object, PCN_WARM_TOTAL);
}

void pcn_block_trim(struct pcn_arena *arena)
{
    lock_heap(arena, true);
    trim_locked(arena);
    unlock_heap(arena);
}

uint8_t *pcn_block_bytes(const struct pcn_arena *arena, pcn_block_id id)
{
    return arena->base + by_id(arena, id)->offset;
}

uint64_t pcn_block_length(const struct pcn_arena *arena, pcn_block_id id)
{
    return by_id(arena, id)->length;
}

uint64_t pcn_block_offset(const struct pcn_arena *arena, pcn_block_id id)
{
    return by_id(arena, id)->offset;
}

void pcn_block_totals(const struct pcn_arena *arena, uint64_t *bytes, uint32_t *count)
{
    *bytes = 0;
    *count = 0;
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        if (pcn_load_relaxed32(&block->state) >= PCN_BLOCK_OWNED) {
            *bytes += block->capacity;
            *count += 1;
        }
    }
}
