#include "ring.h"

#include <string.h>

#include "failpoint.h"
#include "lock.h"

static uint64_t padded(uint64_t length)
{
    return (length + 7u) & ~(uint64_t)7u;
}

void pcn_ring_init(struct pcn_ring *ring, uint64_t data, uint64_t capacity)
{
    memset(ring, 0, sizeof *ring);
    ring->data = data;
    ring->capacity = capacity;
}

uint64_t pcn_ring_limit(const struct pcn_ring *ring)
{
    return ring->capacity - PCN_RECORD_HEAD;
}

static uint8_t *place(const struct pcn_arena *arena, const struct pcn_ring *ring,
                      uint64_t position, uint64_t *until_end)
{
    uint64_t at = position & (ring->capacity - 1);
    *until_end = ring->capacity - at;
    return arena->base + ring->data + at;
}

static void write_bytes(const struct pcn_arena *arena, const struct pcn_ring *ring,
                        uint64_t position, const void *from, uint64_t length)
{
    if (length == 0)
        return; /* an empty part may have no address */
    uint64_t until_end;
    uint8_t *to = place(arena, ring, position, &until_end);
    uint64_t first = length < until_end ? length : until_end;
    memcpy(to, from, first);
    if (first < length)
        memcpy(arena->base + ring->data, (const uint8_t *)from + first, length - first);
}

static void read_bytes(const struct pcn_arena *arena, const struct pcn_ring *ring,
                       uint64_t position, void *to, uint64_t length)
{
    if (length == 0)
        return;
    uint64_t until_end;
    const uint8_t *from = place(arena, ring, position, &until_end);
    uint64_t first = length < until_end ? length : until_end;
    memcpy(to, from, first);
    if (first < length)
        memcpy((uint8_t *)to + first, arena->base + ring->data, length - first);
}

enum pcn_status pcn_ring_push(const struct pcn_arena *arena, struct pcn_ring *ring,
                              const struct pcn_part *parts, uint32_t count, bool wait,
                              uint64_t *position)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += parts[i].length;
    if (length > pcn_ring_limit(ring))
        return PCN_TOO_BIG;
    enum pcn_status got = wait ? pcn_lock_acquire(arena, &ring->produce, arena->me)
                               : pcn_lock_try(arena, &ring->produce, arena->me);
    if (got == PCN_BUSY)
        return got;
    /* PCN_OWNER_DIED needs no repair: what a dead producer wrote behind head was never
     * published, and is written over now. */
    PCN_FAILPOINT("ring.push.locked");
    uint64_t head = pcn_load_relaxed64(&ring->head);
    /* SYNC(ring.retire): the consumer has finished reading what lies before tail. */
    uint64_t tail = pcn_load_acquire64(&ring->tail);
    uint64_t need = PCN_RECORD_HEAD + padded(length);
    if (ring->capacity - (head - tail) < need) {
        pcn_lock_release(&ring->produce);
        return PCN_FULL;
    }
    write_bytes(arena, ring, head, &length, sizeof length);
    PCN_FAILPOINT("ring.push.headed");
    uint64_t at = head + PCN_RECORD_HEAD;
    for (uint32_t i = 0; i < count; i++) {
        write_bytes(arena, ring, at, parts[i].bytes, parts[i].length);
        at += parts[i].length;
    }
    PCN_FAILPOINT("ring.push.copied");
    if (position)
        *position = head;
    /* SYNC(ring.publish): the whole record is visible before the new head is. */
    pcn_store_release64(&ring->head, head + need);
    PCN_FAILPOINT("ring.push.published");
    pcn_lock_release(&ring->produce);
    return PCN_OK;
}

bool pcn_ring_has_records(const struct pcn_ring *ring)
{
    /* SYNC(ring.retire): who finds the ring empty sees what was done with its records. */
    return pcn_load_relaxed64(&ring->head) != pcn_load_acquire64(&ring->tail);
}

enum pcn_status pcn_ring_lock(const struct pcn_arena *arena, struct pcn_ring *ring, bool wait)
{
    enum pcn_status got = wait ? pcn_lock_acquire(arena, &ring->consume, arena->me)
                               : pcn_lock_try(arena, &ring->consume, arena->me);
    PCN_FAILPOINT("ring.lock.returned");
    return got;
}

void pcn_ring_unlock(struct pcn_ring *ring)
{
    pcn_lock_release(&ring->consume);
}

uint64_t pcn_ring_tail(const struct pcn_ring *ring)
{
    return pcn_load_relaxed64(&ring->tail);
}

bool pcn_ring_holds(const struct pcn_ring *ring, uint64_t position)
{
    /* SYNC(ring.publish): a record before head is whole. */
    return position >= pcn_ring_tail(ring) && position < pcn_load_acquire64(&ring->head);
}

enum pcn_status pcn_ring_look(const struct pcn_arena *arena, const struct pcn_ring *ring,
                              uint64_t position, uint64_t *length)
{
    /* SYNC(ring.publish): a record before head is whole. */
    if (position == pcn_load_acquire64(&ring->head))
        return PCN_EMPTY;
    read_bytes(arena, ring, position, length, sizeof *length);
    return PCN_OK;
}

void pcn_ring_copy(const struct pcn_arena *arena, const struct pcn_ring *ring,
                   uint64_t position, uint64_t from, void *to, uint64_t length)
{
    read_bytes(arena, ring, position + PCN_RECORD_HEAD + from, to, length);
}

pcn_atomic32 *pcn_ring_word(const struct pcn_arena *arena, const struct pcn_ring *ring,
                            uint64_t position, uint64_t from)
{
    /* Records begin at multiples of 8: no word of theirs lies across the end. */
    uint64_t until_end;
    uint8_t *at = place(arena, ring, position + PCN_RECORD_HEAD + from, &until_end);
    return (pcn_atomic32 *)(void *)at;
}

uint64_t pcn_ring_next(uint64_t position, uint64_t length)
{
    return position + PCN_RECORD_HEAD + padded(length);
}

void pcn_ring_retire(struct pcn_ring *ring, uint64_t position)
{
    /* SYNC(ring.retire): we have read all before `position`; it may be written again. */
    pcn_store_release64(&ring->tail, position);
    PCN_FAILPOINT("ring.retire.stored");
}

void pcn_ring_report_space(struct pcn_ring *ring)
{
    pcn_doorbell_ring(&ring->drained);
}
