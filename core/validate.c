#include "validate.h"

#include "lock.h"
#include "owner.h"

static const char *validate_free_lists(const struct pcn_arena *arena, uint32_t high)
{
    const struct pcn_head *head = pcn_head(arena);
    pcn_token holder = pcn_lock_owner(&head->heap_lock);
    if (holder != 0)
        return NULL; /* in work, or orphaned: then the next to lock rebuilds them */
    uint32_t listed = 0;
    for (uint32_t size_class = 0; size_class < PCN_CLASSES; size_class++) {
        uint32_t steps = 0;
        for (uint32_t id = head->free_blocks[size_class]; id != 0;
             id = pcn_block_at(arena, id - 1)->next_free) {
            if (id > high || ++steps > high)
                return "a free list leaves the block table or runs in a circle";
            const struct pcn_block *block = pcn_block_at(arena, id - 1);
            if (pcn_load_relaxed32(&block->state) != PCN_BLOCK_FREE)
                return "a free list holds a block that is not free";
            if (block->size_class != size_class)
                return "a free list holds a block of another class";
            listed++;
        }
    }
    uint32_t free_blocks = 0;
    for (uint32_t index = 0; index < high; index++)
        free_blocks += pcn_load_relaxed32(&pcn_block_at(arena, index)->state) == PCN_BLOCK_FREE;
    return listed == free_blocks ? NULL : "a free block stands on no free list";
}

const char *pcn_validate_arena(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    if (head->magic != PCN_MAGIC || head->stamp != pcn_layout_stamp())
        return "the head is damaged";
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&head->blocks_high);
    if (high > PCN_MAX_BLOCKS || pcn_load_relaxed32(&head->slots_high) > PCN_MAX_SLOTS)
        return "more slots or blocks are counted than there can be";
    uint64_t end = PCN_DATA_AT;
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        if (block->offset != end)
            return "blocks overlap or leave a gap";
        if (block->capacity != pcn_class_capacity(block->size_class))
            return "a block's capacity is not its class's";
        end = block->offset + block->capacity;
        if (end > head->reserve)
            return "a block reaches beyond the arena";
        uint32_t state = pcn_load_relaxed32(&block->state);
        if (state != PCN_BLOCK_FREE && state != PCN_BLOCK_OWNED && state != PCN_BLOCK_TRANSIT)
            return "a block is in no known state";
        if (state != PCN_BLOCK_FREE && !pcn_load_relaxed32(&block->warm))
            return "a block in use has no pages";
        if (state != PCN_BLOCK_FREE && block->length > block->capacity)
            return "a block holds more than its capacity";
    }
    return validate_free_lists(arena, high);
}

const char *pcn_validate_ring(const struct pcn_arena *arena, const struct pcn_ring *ring)
{
    uint64_t tail = pcn_ring_tail(ring);
    /* SYNC(ring.publish): records before head are whole. */
    uint64_t head = pcn_load_acquire64(&ring->head);
    if (tail > head || head - tail > ring->capacity || tail % 8 || head % 8)
        return "the ring's ends are out of order";
    while (tail != head) {
        uint64_t length;
        if (pcn_ring_look(arena, ring, tail, &length) != PCN_OK ||
            length > pcn_ring_limit(ring))
            return "a record is longer than the ring";
        tail = pcn_ring_next(tail, length);
        if (tail > head)
            return "a record reaches beyond the published end";
    }
    return NULL;
}

/* What a claim that counts says of itself. */
static const char *validate_held(const struct pcn_held *held)
{
    if (held->range.tag != (held->task & 0xffffu))
        return "a claim's range is another task's";
    if (held->range.begun > held->range.end)
        return "a claim has begun more items than it has";
    if (held->progress.done > held->range.begun)
        return "a claim has more items done than begun";
    if (held->progress.first > held->progress.done || held->progress.bytes > PCN_INLINE_LIMIT)
        return "a claim's area holds what it can not";
    return NULL;
}

static const char *validate_seat(const struct pcn_arena *arena,
                                 const struct pcn_channel *channel, uint32_t seat)
{
    const struct pcn_claim *claim = &channel->claims[seat];
    struct pcn_held held;
    if (pcn_claim_duty(claim) > PCN_LEAVE)
        return "a seat has an unknown duty";
    /* SYNC(block.table): counted descriptors are whole. */
    if (pcn_load_relaxed32(&claim->area) > pcn_load_acquire32(&pcn_head(arena)->blocks_high))
        return "a claim's area is no block";
    return pcn_claim_look(claim, &channel->tasks, &held) ? validate_held(&held) : NULL;
}

/* Who sits down is counted first. */
static bool sits_uncounted(const struct pcn_channel *channel, uint32_t seat)
{
    /* SYNC(channel.seat): who sees somebody sit there sees the place counted. */
    return pcn_load_acquire64(&channel->claims[seat].token) != 0 &&
           pcn_load_relaxed32(&channel->seats_high) <= seat;
}

const char *pcn_validate_channel(const struct pcn_arena *arena,
                                 const struct pcn_channel *channel)
{
    const char *wrong = pcn_validate_ring(arena, &channel->tasks);
    if (!wrong)
        wrong = pcn_validate_ring(arena, &channel->results);
    uint32_t high = pcn_load_relaxed32(&channel->seats_high);
    if (!wrong && high > channel->workers)
        wrong = "more seats are counted than there are";
    pcn_token consumer = pcn_lock_owner(&channel->tasks.consume);
    for (uint32_t seat = 0; seat < channel->workers && !wrong; seat++) {
        uint64_t until = pcn_load_relaxed64(&channel->claims[seat].until);
        if (seat < high)
            wrong = validate_seat(arena, channel, seat);
        else if (sits_uncounted(channel, seat))
            wrong = "somebody sits where nobody was counted";
        if (!wrong && until != PCN_NO_CLAIM && consumer == 0 &&
            until > pcn_ring_tail(&channel->tasks))
            wrong = "a claim reaches beyond what was retired";
    }
    return wrong;
}
