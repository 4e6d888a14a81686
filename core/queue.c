#include "queue.h"

#include <string.h>

#include "failpoint.h"
#include "lock.h"
#include "patience.h"
#include "platform.h"

#define PCN_SMALL_SEGMENT 20480u  /* holds one record of any size, so none is left empty */
#define PCN_LARGE_SEGMENT 262144u /* where items pile up */
#define PCN_GLANCES 24

_Static_assert(sizeof(struct pcn_queue) <= PCN_BODY, "a queue fits an object's body");
_Static_assert(sizeof(struct pcn_segment) == PCN_CACHE_LINE, "records begin on a line");
_Static_assert(PCN_SMALL_SEGMENT - PCN_CACHE_LINE >= PCN_QUEUE_RECORD, "any record fits");

/* What stands before each payload. */
struct record {
    uint32_t length; /* of what follows, in bytes; padded to 8 in the segment */
    uint16_t kind;
    uint16_t remote; /* 1: what follows is a struct remote */
};

struct remote {
    uint64_t length;
    uint64_t block;
};

static uint64_t padded(uint64_t length)
{
    return (length + 7u) & ~(uint64_t)7u;
}

static struct pcn_segment *segment_at(const struct pcn_arena *arena, pcn_block_id id)
{
    return (struct pcn_segment *)(void *)pcn_block_bytes(arena, id);
}

static uint8_t *place(struct pcn_segment *segment, uint64_t end)
{
    return (uint8_t *)(segment + 1) + pcn_end_bytes(segment->start, end);
}

void pcn_queue_init(struct pcn_queue *queue, uint64_t limit, bool joinable)
{
    queue->limit = limit == 0 || limit > PCN_QUEUE_MOST ? PCN_QUEUE_MOST : (uint32_t)limit;
    queue->joinable = joinable;
}

uint32_t pcn_queue_size(const struct pcn_queue *queue)
{
    for (;;) {
        /* SYNC(queue.retire): the head we read next is not older than this tail.
         * SYNC(queue.publish): nor is the tail below older than the head. */
        uint64_t tail = pcn_load_acquire64(&queue->tail);
        uint64_t head = pcn_load_acquire64(&queue->head);
        if (pcn_load_relaxed64(&queue->tail) == tail)
            return pcn_end_items(tail, head);
    }
}

bool pcn_queue_has_items(const struct pcn_queue *queue)
{
    /* SYNC(queue.retire): who finds it empty sees what was done with its items. */
    return pcn_load_relaxed64(&queue->head) != pcn_load_acquire64(&queue->tail);
}

bool pcn_queue_has_room(const struct pcn_queue *queue)
{
    return pcn_queue_size(queue) < queue->limit;
}

bool pcn_queue_is_closed(const struct pcn_queue *queue)
{
    /* SYNC(queue.close): what was put in before is seen by who sees the closing. */
    return pcn_load_acquire32(&queue->closed) != 0;
}

static enum pcn_status lock(const struct pcn_share *share, struct pcn_lock *side, bool wait)
{
    return wait ? pcn_lock_acquire(share->arena, side, share->arena->me)
                : pcn_lock_try(share->arena, side, share->arena->me);
}

/* Somebody died here: it may have swallowed a ring that another should have heard. */
static void ring_for_all(struct pcn_queue *queue)
{
    pcn_doorbell_broadcast(&queue->items);
    pcn_doorbell_broadcast(&queue->room);
}

/* Who was woken wakes the next one if there is more: it has set the bit itself, so it sees it,
 * and may look at it without a fence. */
static bool is_announced(const struct pcn_doorbell *bell)
{
    return pcn_load_relaxed32(&bell->word) & 1u;
}

/* ---- putting ---- */

/* Take a side's lock; what a dead owner had in hand is given back. */
static enum pcn_status lock_produce(const struct pcn_share *share, bool wait)
{
    enum pcn_status got = lock(share, &share->queue->produce, wait);
    if (got == PCN_OWNER_DIED)
        pcn_queue_mend_puts(share);
    return got;
}

static uint64_t record_size(const struct pcn_item *item)
{
    return sizeof(struct record) + (item->block ? sizeof(struct remote) : padded(item->length));
}

static void write_record(uint8_t *to, const struct pcn_item *item)
{
    struct record record = {.length = (uint32_t)item->length, .kind = (uint16_t)item->kind};
    struct remote remote = {.length = item->length, .block = item->block};
    const void *from = item->bytes;
    if (item->block) {
        record.remote = 1;
        record.length = sizeof remote;
        from = &remote;
    }
    memcpy(to, &record, sizeof record);
    if (record.length) /* nothing may have no address */
        memcpy(to + sizeof record, from, record.length);
}

/* The queue has that block from now on, and nobody finds it but by what is still to be stored. */
static void give(const struct pcn_share *share, pcn_block_id id, uint64_t kind, uint64_t end)
{
    pcn_block_give_marked(share->arena, id, pcn_object_token(share->name), share->name.object,
                          kind | pcn_end_position(end));
}

/* The last segment of the chain, or NULL. Who died between linking one and saying so has
 * published nothing in it: it begins at this head. */
static struct pcn_segment *last_segment(const struct pcn_share *share, uint64_t head)
{
    struct pcn_queue *queue = share->queue;
    if (!queue->writing)
        queue->writing = pcn_load_relaxed32(&queue->first);
    if (!queue->writing)
        return NULL;
    struct pcn_segment *segment = segment_at(share->arena, queue->writing);
    pcn_block_id next = pcn_load_relaxed32(&segment->next);
    if (next) {
        pcn_store_relaxed64(&segment->end, pcn_end_position(head));
        queue->writing = next;
        segment = segment_at(share->arena, next);
    }
    return segment;
}

static uint32_t wanted_size(const struct pcn_queue *queue, uint64_t head)
{
    uint64_t waiting = pcn_end_bytes(pcn_load_relaxed64(&queue->tail), head);
    return waiting > PCN_SMALL_SEGMENT / 2 ? PCN_LARGE_SEGMENT : PCN_SMALL_SEGMENT;
}

static void write_segment(struct pcn_segment *segment, uint32_t size, uint64_t head)
{
    pcn_store_relaxed32(&segment->next, 0);
    segment->size = size;
    segment->start = pcn_end_position(head);
    pcn_store_relaxed64(&segment->end, UINT64_MAX);
}

/* The segment that was emptied last, if it is as large as wanted, written anew; 0: it is not. */
static pcn_block_id reuse(const struct pcn_share *share, uint32_t size, uint64_t head)
{
    /* SYNC(queue.spare): its last reader has finished. */
    pcn_block_id id = pcn_load_acquire32(&share->queue->spare);
    /* It stays what it is while we hold `produce`: only an empty place is ever filled. */
    if (!id || segment_at(share->arena, id)->size != size)
        return 0;
    write_segment(segment_at(share->arena, id), size, head);
    pcn_block_mark(share->arena, id, PCN_MARK_SEGMENT | pcn_end_position(head));
    PCN_FAILPOINT("queue.extend.marked");
    /* SYNC(queue.spare): it is marked anew. */
    pcn_store_release32(&share->queue->spare, 0);
    PCN_FAILPOINT("queue.extend.reused");
    return id;
}

/* One more segment, that begins at `head`; all before it is published. */
static enum pcn_status extend(const struct pcn_share *share, struct pcn_segment *last,
                              uint64_t head, struct pcn_segment **made, bool wait)
{
    struct pcn_queue *queue = share->queue;
    uint32_t size = wanted_size(queue, head);
    pcn_block_id id = reuse(share, size, head);
    if (!id) {
        enum pcn_status status = pcn_block_allocate(share->arena, size, &id, wait);
        if (status != PCN_OK)
            return status;
        write_segment(segment_at(share->arena, id), size, head);
        PCN_FAILPOINT("queue.extend.written");
        give(share, id, PCN_MARK_SEGMENT, head);
    }
    if (last) {
        pcn_store_relaxed32(&last->next, id);
        PCN_FAILPOINT("queue.extend.linked");
        pcn_store_relaxed64(&last->end, pcn_end_position(head));
    } else {
        pcn_store_relaxed32(&queue->first, id);
    }
    PCN_FAILPOINT("queue.extend.ended");
    queue->writing = id;
    *made = segment_at(share->arena, id);
    return PCN_OK;
}

static void publish(struct pcn_queue *queue, uint64_t head)
{
    /* SYNC(queue.publish): the records, and the segments they stand in, are visible before the
     * new head is. */
    pcn_store_release64(&queue->head, head);
    PCN_FAILPOINT("queue.put.published");
}

/* May one more go in behind `head`? Under `produce`. */
static bool has_room(struct pcn_queue *queue, uint64_t head)
{
    if (pcn_end_items(pcn_load_relaxed64(&queue->seen_tail), head) < queue->limit)
        return true;
    pcn_store_relaxed64(&queue->seen_tail, pcn_load_relaxed64(&queue->tail));
    return pcn_end_items(pcn_load_relaxed64(&queue->seen_tail), head) < queue->limit;
}

static enum pcn_status put_locked(const struct pcn_share *share, const struct pcn_item *items,
                                  uint32_t count, uint32_t *done, bool wait)
{
    struct pcn_queue *queue = share->queue;
    uint64_t published = pcn_load_relaxed64(&queue->head);
    uint64_t head = published;
    struct pcn_segment *segment = last_segment(share, head);
    enum pcn_status status = pcn_load_relaxed32(&queue->closed) ? PCN_CLOSED : PCN_OK;
    while (status == PCN_OK && *done < count) {
        uint64_t size = record_size(&items[*done]);
        if (!has_room(queue, head)) {
            status = PCN_FULL;
        } else if (segment && (uint64_t)(place(segment, head) - (uint8_t *)segment) + size <=
                                  segment->size) {
            write_record(place(segment, head), &items[*done]);
            if (items[*done].block)
                give(share, items[*done].block, PCN_MARK_PAYLOAD, head);
            PCN_FAILPOINT("queue.put.written");
            head = pcn_end_advance(head, 1, size);
            *done += 1;
        } else {
            if (head != published)
                publish(queue, head); /* the chain's links tell of published ends only */
            published = head;
            status = extend(share, segment, head, &segment, wait);
        }
    }
    if (head != published)
        publish(queue, head);
    return status;
}

enum pcn_status pcn_queue_put(const struct pcn_share *share, const struct pcn_item *items,
                              uint32_t count, uint32_t *done, bool wait)
{
    struct pcn_queue *queue = share->queue;
    *done = 0;
    enum pcn_status got = lock_produce(share, wait);
    if (got == PCN_BUSY)
        return got;
    PCN_FAILPOINT("queue.put.locked");
    enum pcn_status status = put_locked(share, items, count, done, wait);
    pcn_lock_release(&queue->produce);
    if (got == PCN_OWNER_DIED)
        ring_for_all(queue);
    if (*done) {
        pcn_doorbell_ring(&queue->items);
        if (queue->limit != PCN_QUEUE_MOST && is_announced(&queue->room) &&
            pcn_queue_has_room(queue))
            pcn_doorbell_ring(&queue->room);
    }
    return status;
}

static enum pcn_status slept(enum pcn_slept how)
{
    if (how == PCN_SLEPT_SIGNAL)
        return PCN_SIGNAL;
    return how == PCN_SLEPT_TIMEOUT ? PCN_TIMEOUT : PCN_OK;
}

enum pcn_status pcn_queue_wait_room(const struct pcn_share *share, uint64_t timeout_ns)
{
    struct pcn_queue *queue = share->queue;
    uint32_t ticket = pcn_doorbell_arm(&queue->room);
    if (pcn_queue_has_room(queue) || pcn_queue_is_closed(queue))
        return PCN_OK;
    return slept(pcn_doorbell_sleep(&queue->room, ticket, timeout_ns));
}

void pcn_queue_shut(const struct pcn_share *share)
{
    struct pcn_queue *queue = share->queue;
    lock_produce(share, true); /* no put is half-way */
    /* SYNC(queue.close): behind all that was put in. */
    pcn_store_release32(&queue->closed, 1);
    PCN_FAILPOINT("queue.shut.stored");
    pcn_lock_release(&queue->produce);
    ring_for_all(queue);
}

/* ---- getting ---- */

/* Copy whole records out until there are `most`, or no room. Under `consume`. */
static uint64_t copy_out(const struct pcn_share *share, uint32_t most,
                         struct pcn_taking *taking, uint64_t tail)
{
    struct pcn_queue *queue = share->queue;
    uint64_t head = pcn_load_relaxed64(&queue->seen_head);
    if (!queue->reading)
        queue->reading = pcn_load_relaxed32(&queue->first);
    struct pcn_segment *segment = segment_at(share->arena, queue->reading);
    while (taking->count < most && tail != head) {
        if (pcn_end_position(tail) == pcn_load_relaxed64(&segment->end)) {
            if (taking->emptied)
                break;
            /* A record stands in the next one, so its maker has left this one behind. */
            pcn_block_id next = pcn_load_relaxed32(&segment->next);
            taking->emptied = queue->reading;
            queue->reading = next;
            PCN_FAILPOINT("queue.get.stepped");
            segment = segment_at(share->arena, next);
        }
        struct record record;
        const uint8_t *from = place(segment, tail);
        memcpy(&record, from, sizeof record);
        uint64_t size = sizeof record + padded(record.length);
        if (taking->used + size > taking->room)
            break;
        memcpy(taking->bytes + taking->used, from, sizeof record + record.length);
        taking->used += size;
        taking->count++;
        tail = pcn_end_advance(tail, 1, size);
    }
    return tail;
}

/* The one store that makes the items ours, and what tells of it. */
static void retire(const struct pcn_share *share, uint64_t from, uint64_t until)
{
    struct pcn_queue *queue = share->queue;
    struct pcn_hold *hold = share->hold;
    uint64_t taken = pcn_load_relaxed64(&hold->taken) + pcn_end_items(from, until);
    pcn_store_relaxed64(&hold->taking_from, from);
    pcn_store_relaxed64(&hold->taking_until, until);
    if (queue->joinable)
        pcn_store_relaxed32(&hold->flags, PCN_HOLD_KEEP | PCN_TAKING |
                                              (uint32_t)(taken << PCN_TAKING_SHIFT));
    PCN_FAILPOINT("queue.get.signed");
    /* SYNC(queue.retire): we have read all before `until`. */
    pcn_store_release64(&queue->tail, until);
    PCN_FAILPOINT("queue.get.retired");
    if (queue->joinable) {
        pcn_store_relaxed64(&hold->taken, taken);
        PCN_FAILPOINT("queue.get.counted");
        pcn_store_relaxed32(&hold->flags, 0);
    }
}

/* Keep an emptied segment at hand for a producer; else it is ours, and the caller frees it. */
static void recycle(const struct pcn_share *share, struct pcn_taking *taking)
{
    struct pcn_queue *queue = share->queue;
    uint32_t nothing = 0;
    /* SYNC(queue.spare): we have read it. */
    if (pcn_load_relaxed32(&queue->spare) == 0 &&
        pcn_cas_acq_rel32(&queue->spare, &nothing, taking->emptied))
        taking->emptied = 0;
    else
        pcn_block_take_over(share->arena, taking->emptied);
    PCN_FAILPOINT("queue.get.recycled");
}

/* The taken items' blocks are ours. */
static void take_blocks_over(const struct pcn_share *share, const struct pcn_taking *taking)
{
    for (uint64_t at = 0; at < taking->used;) {
        struct pcn_item item = pcn_queue_taken(share, taking, &at);
        if (item.block) {
            pcn_block_take_over(share->arena, item.block);
            PCN_FAILPOINT("queue.get.owned");
        }
    }
}

enum pcn_status pcn_queue_get(const struct pcn_share *share, uint32_t most,
                              struct pcn_taking *taking, bool wait)
{
    struct pcn_queue *queue = share->queue;
    taking->used = taking->count = taking->emptied = 0;
    bool closed = pcn_queue_is_closed(queue);
    if (!pcn_queue_has_items(queue))
        return closed ? PCN_CLOSED : PCN_EMPTY;
    enum pcn_status got = lock(share, &queue->consume, wait);
    if (got == PCN_BUSY)
        return got;
    if (got == PCN_OWNER_DIED)
        pcn_queue_settle_takings(share);
    PCN_FAILPOINT("queue.get.locked");
    uint64_t tail = pcn_load_relaxed64(&queue->tail);
    if (tail == pcn_load_relaxed64(&queue->seen_head))
        /* SYNC(queue.publish): what lies before head is whole. */
        pcn_store_relaxed64(&queue->seen_head, pcn_load_acquire64(&queue->head));
    uint64_t until = tail;
    if (tail != pcn_load_relaxed64(&queue->seen_head))
        until = copy_out(share, most, taking, tail);
    PCN_FAILPOINT("queue.get.copied");
    if (until != tail) {
        retire(share, tail, until);
        take_blocks_over(share, taking);
    }
    if (taking->emptied)
        recycle(share, taking);
    bool more = until != pcn_load_relaxed64(&queue->seen_head) || pcn_queue_has_items(queue);
    pcn_lock_release(&queue->consume);
    PCN_FAILPOINT("queue.get.unlocked");
    if (got == PCN_OWNER_DIED)
        ring_for_all(queue);
    if (until == tail)
        return closed ? PCN_CLOSED : PCN_EMPTY;
    if (queue->limit != PCN_QUEUE_MOST)
        pcn_doorbell_ring(&queue->room);
    if (more && is_announced(&queue->items))
        pcn_doorbell_ring(&queue->items);
    return PCN_OK;
}

struct pcn_item pcn_queue_taken(const struct pcn_share *share, const struct pcn_taking *taking,
                                uint64_t *at)
{
    struct record record;
    memcpy(&record, taking->bytes + *at, sizeof record);
    const uint8_t *payload = taking->bytes + *at + sizeof record;
    *at += sizeof record + padded(record.length);
    struct pcn_item item = {.bytes = payload, .length = record.length, .kind = record.kind};
    if (record.remote) {
        struct remote remote;
        memcpy(&remote, payload, sizeof remote);
        item.block = (pcn_block_id)remote.block;
        item.length = remote.length;
        item.bytes = pcn_block_bytes(share->arena, item.block);
    }
    return item;
}

static bool is_ready(const void *queue)
{
    return pcn_queue_has_items(queue) || pcn_queue_is_closed(queue);
}

bool pcn_queue_glance(const struct pcn_queue *queue)
{
    for (int look = 0; look < PCN_GLANCES; look++) {
        if (is_ready(queue))
            return true;
        pcn_relax();
    }
    return false;
}

bool pcn_queue_spin(struct pcn_queue *queue)
{
    return pcn_spin(is_ready, queue, &queue->misses);
}

enum pcn_status pcn_queue_wait_items(const struct pcn_share *share, uint64_t timeout_ns)
{
    struct pcn_queue *queue = share->queue;
    uint32_t ticket = pcn_doorbell_arm(&queue->items);
    if (is_ready(queue))
        return PCN_OK;
    return slept(pcn_doorbell_sleep(&queue->items, ticket, timeout_ns));
}
