/* What a death in the middle of a put or a taking leaves of blocks. The marks of the queue's blocks
 * tell where in the queue they belong, and its ends what became of that. */
#include "failpoint.h"
#include "queue.h"

/* Segments that are in use whatever their marks say. */
struct kept {
    pcn_block_id last, next, spare;
};

static bool is_segment(uint64_t mark)
{
    return (mark & PCN_MARK_SEGMENT) == PCN_MARK_SEGMENT;
}

/* It stands for something at or behind `end`. */
static bool is_behind(uint64_t mark, uint64_t end)
{
    return ((mark - end) & PCN_POSITIONS) <= PCN_POSITIONS / 2;
}

/* Free the marked blocks that stand for something behind `end`, or for something before it. */
static void free_marked(const struct pcn_share *share, uint64_t end, bool behind,
                        const struct kept *kept)
{
    /* SYNC(block.table): counted descriptors are whole. */
    uint32_t high = pcn_load_acquire32(&pcn_head(share->arena)->blocks_high);
    pcn_token queue = pcn_object_token(share->name);
    for (pcn_block_id id = 1; id <= high; id++) {
        uint64_t mark;
        if (!pcn_block_has_mark(share->arena, id, queue, &mark) || !(mark & PCN_MARK_PAYLOAD) ||
            is_behind(mark, end) != behind)
            continue;
        if (is_segment(mark) && (id == kept->last || id == kept->next || id == kept->spare))
            continue;
        pcn_block_free(share->arena, id, false, true);
        PCN_FAILPOINT("queue.mend.freed");
    }
}

void pcn_queue_mend_puts(const struct pcn_share *share)
{
    const struct pcn_queue *queue = share->queue;
    struct kept kept = {.last = queue->writing, .spare = pcn_load_relaxed32(&queue->spare)};
    if (!kept.last)
        kept.last = pcn_load_relaxed32(&queue->first);
    if (kept.last) {
        const struct pcn_segment *last =
            (const void *)pcn_block_bytes(share->arena, kept.last);
        kept.next = pcn_load_relaxed32(&last->next);
    }
    /* What lies there was never published, and nobody but us could publish it. */
    free_marked(share, pcn_load_relaxed64(&queue->head), true, &kept);
}

void pcn_queue_mend_takings(const struct pcn_share *share)
{
    const struct pcn_queue *queue = share->queue;
    /* SYNC(queue.spare): what is the spare one no more has its new mark. Nobody but us could make
     * another one the spare. */
    struct kept kept = {.last = queue->reading, .spare = pcn_load_acquire32(&queue->spare)};
    if (!kept.last)
        kept.last = pcn_load_relaxed32(&queue->first);
    /* What lies there was taken, and the living have taken its blocks over before they let go. */
    free_marked(share, pcn_load_relaxed64(&queue->tail), false, &kept);
}
