#include "validate.h"

#include <string.h>

#include "lock.h"
#include "owner.h"

#define PCN_TURNS 1000 /* at most, to see a heap that others work at stand still */

static const char *validate_list(const struct pcn_arena *arena, uint32_t high, uint32_t id,
                                 uint32_t size_class, bool warm, uint32_t *listed)
{
    uint32_t steps = 0;
    for (; id != 0; id = pcn_block_at(arena, id - 1)->next_free) {
        if (id > high || ++steps > high)
            return "a free list leaves the block table or runs in a circle";
        const struct pcn_block *block = pcn_block_at(arena, id - 1);
        if (pcn_load_relaxed32(&block->state) != PCN_BLOCK_FREE)
            return "a free list holds a block that is not free";
        if (block->size_class != size_class)
            return "a free list holds a block of another class";
        if ((pcn_load_relaxed32(&block->warm) != 0) != warm)
            return "a free list holds a block with pages among those without, or the other way";
        *listed += 1;
    }
    return NULL;
}

/* What is derived from the table: free lists and accounts. */
static const char *validate_derived(const struct pcn_arena *arena, uint32_t high)
{
    const struct pcn_head *head = pcn_head(arena);
    const char *wrong = NULL;
    uint32_t listed = 0, free_blocks = 0;
    for (uint32_t list = 0; list < PCN_CLASSES && !wrong; list++) {
        wrong = validate_list(arena, high, head->free_warm[list], list, true, &listed);
        if (!wrong)
            wrong = validate_list(arena, high, head->free_cold[list], list, false, &listed);
    }
    uint64_t paged = 0, warm_free = 0;
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        bool is_free = pcn_load_relaxed32(&block->state) == PCN_BLOCK_FREE;
        bool warm = pcn_load_relaxed32(&block->warm) != 0;
        uint64_t bytes = pcn_class_capacity(block->size_class);
        free_blocks += is_free;
        paged += !is_free || warm ? bytes : 0;
        warm_free += is_free && warm ? bytes : 0;
    }
    if (!wrong && listed != free_blocks)
        wrong = "a free block stands on no free list";
    if (!wrong && (paged != pcn_load_relaxed64(&head->paged) ||
                   warm_free != pcn_load_relaxed64(&head->warm_free)))
        wrong = "the accounts of pages are not those of the table";
    return wrong;
}

/* One block and what is joined to it; where it ends. */
static const char *validate_block(const struct pcn_arena *arena, uint32_t high, uint32_t *index,
                                  uint64_t *end)
{
    const struct pcn_block *block = pcn_block_at(arena, *index);
    uint32_t state = pcn_load_relaxed32(&block->state);
    if (pcn_load_relaxed64(&block->offset) != *end)
        return "blocks overlap or leave a gap";
    if (state != PCN_BLOCK_FREE && state != PCN_BLOCK_OWNED && state != PCN_BLOCK_TRANSIT)
        return "a block is in no known state";
    uint64_t capacity = pcn_load_relaxed64(&block->capacity);
    uint64_t sum = pcn_class_capacity(block->size_class);
    for (++*index; *index < high; ++*index) {
        const struct pcn_block *part = pcn_block_at(arena, *index);
        if (pcn_load_relaxed32(&part->state) != PCN_BLOCK_JOINED)
            break;
        if (state == PCN_BLOCK_FREE)
            return "something is joined to a free block";
        if (pcn_load_relaxed64(&part->offset) != *end + sum)
            return "joined blocks overlap or leave a gap";
        sum += pcn_class_capacity(part->size_class);
    }
    if (capacity != sum)
        return "a block's capacity is not its class's and of what is joined to it";
    *end += capacity;
    if (*end > pcn_head(arena)->reserve)
        return "a block reaches beyond the arena";
    if (state == PCN_BLOCK_TRANSIT && !pcn_load_relaxed32(&block->warm))
        return "a block on its way has no pages";
    if (state != PCN_BLOCK_FREE && block->length > capacity)
        return "a block holds more than its capacity";
    return NULL;
}

static const char *validate_blocks(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&head->blocks_high);
    if (high > PCN_MAX_BLOCKS)
        return "more blocks are counted than there can be";
    uint64_t end = PCN_DATA_AT;
    const char *wrong = NULL;
    for (uint32_t index = 0; index < high && !wrong;)
        wrong = validate_block(arena, high, &index, &end);
    return wrong ? wrong : validate_derived(arena, high);
}

/* Has the heap's lock been free, and nothing been taken or freed under it meanwhile? */
struct stillness {
    uint64_t paged, warm_free;
    uint32_t freed, high;
};

static struct stillness look(const struct pcn_head *head)
{
    return (struct stillness){pcn_load_relaxed64(&head->paged),
                              pcn_load_relaxed64(&head->warm_free),
                              pcn_load_relaxed32(&head->freed),
                              pcn_load_relaxed32(&head->blocks_high)};
}

const char *pcn_validate_arena(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    if (head->magic != PCN_MAGIC || head->stamp != pcn_layout_stamp())
        return "the head is damaged";
    if (pcn_load_relaxed32(&head->slots_high) > PCN_MAX_SLOTS)
        return "more slots are counted than there can be";
    for (int turn = 0; turn < PCN_TURNS; turn++) {
        struct stillness before = look(head);
        if (pcn_lock_owner(&head->heap_lock) != 0)
            return NULL; /* in work, or orphaned: then the next to lock rebuilds what is derived */
        const char *wrong = validate_blocks(arena);
        struct stillness after = look(head);
        if (!wrong || (memcmp(&before, &after, sizeof before) == 0 &&
                       pcn_lock_owner(&head->heap_lock) == 0))
            return wrong;
    }
    return NULL; /* never still */
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
