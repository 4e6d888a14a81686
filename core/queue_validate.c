#include <string.h>

#include "lock.h"
#include "queue.h"

static const struct pcn_segment *segment_at(const struct pcn_share *share, pcn_block_id id)
{
    return (const struct pcn_segment *)(const void *)pcn_block_bytes(share->arena, id);
}

static bool is_ours(const struct pcn_share *share, uint64_t id)
{
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&pcn_head(share->arena)->blocks_high);
    if (id == 0 || id > high)
        return false;
    const struct pcn_block *block = pcn_block_at(share->arena, (uint32_t)id - 1);
    return pcn_load_relaxed32(&block->state) == PCN_BLOCK_TRANSIT &&
           pcn_load_relaxed64(&block->owner) == pcn_object_token(share->name);
}

/* One record: its size, or 0 if something is wrong with it. */
static uint64_t walk_record(const struct pcn_share *share, const struct pcn_segment *segment,
                            uint64_t at)
{
    uint32_t length;
    uint16_t remote;
    const uint8_t *record = (const uint8_t *)segment + at;
    memcpy(&length, record, sizeof length);
    memcpy(&remote, record + 6, sizeof remote);
    uint64_t size = 8u + ((length + 7u) & ~(uint64_t)7u);
    if (length > PCN_QUEUE_INLINE || at + size > segment->size)
        return 0;
    if (remote) {
        uint64_t block;
        memcpy(&block, record + 16, sizeof block);
        if (!is_ours(share, block))
            return 0;
    }
    return size;
}

static const char *walk(const struct pcn_share *share, uint64_t tail, uint64_t head)
{
    const struct pcn_queue *queue = share->queue;
    pcn_block_id id = queue->reading ? queue->reading : pcn_load_relaxed32(&queue->first);
    while (tail != head) {
        if (!is_ours(share, id))
            return "a segment is not the queue's";
        const struct pcn_segment *segment = segment_at(share, id);
        if (pcn_end_position(tail) == pcn_load_relaxed64(&segment->end)) {
            id = pcn_load_relaxed32(&segment->next);
            continue;
        }
        uint64_t at = sizeof *segment + pcn_end_bytes(segment->start, tail);
        uint64_t size = at < segment->size ? walk_record(share, segment, at) : 0;
        if (size == 0)
            return "a record is damaged, or its block is not the queue's";
        tail = pcn_end_advance(tail, 1, size);
        if (pcn_end_items(tail, head) > PCN_QUEUE_MOST / 2)
            return "records and counts disagree";
    }
    return NULL;
}

const char *pcn_queue_validate(const struct pcn_share *share)
{
    const struct pcn_queue *queue = share->queue;
    uint64_t tail = pcn_load_relaxed64(&queue->tail);
    /* SYNC(queue.publish): what lies before head is whole. */
    uint64_t head = pcn_load_acquire64(&queue->head);
    uint64_t seen = pcn_load_relaxed64(&queue->seen_head);
    uint32_t size = pcn_end_items(tail, head);
    if (size > queue->limit || pcn_end_items(tail, seen) > size)
        return "the queue's ends are out of order";
    const char *wrong = walk(share, tail, head);
    if (wrong || !queue->joinable)
        return wrong;
    for (uint32_t index = pcn_hold_next(share->arena, share->name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(share->arena, share->name, index + 1)) {
        const struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        if (pcn_load_relaxed32(&hold->flags) & PCN_TAKING &&
            pcn_lock_owner(&queue->consume) != pcn_load_relaxed64(&hold->owner))
            return "a taking was not settled";
    }
    return NULL;
}
