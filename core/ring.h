/* The byte ring: a bounded queue of records in shared memory. Protocol: ring.md. */
#ifndef PCN_RING_H
#define PCN_RING_H

#include "arena.h"
#include "doorbell.h"

/* Positions only grow; a byte's place is position % capacity (a power of two).
 * Invariants: tail <= head, head - tail <= capacity, both multiples of 8. */
struct pcn_ring {
    /* End of the published records. Written by the holder of `produce`, one store a
     * record. A death leaves it at the last whole record. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 head;
    struct pcn_lock produce;
    /* End of the retired records. Written by the holder of `consume`, one store a record. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 tail;
    struct pcn_lock consume;
    /* Rung when records were retired, for a producer that found the ring full. */
    _Alignas(PCN_CACHE_LINE) struct pcn_doorbell drained;
    uint64_t capacity; /* bytes, set once */
    uint64_t data;     /* offset of the bytes in the arena, set once */
};

struct pcn_part {
    const void *bytes;
    uint64_t length;
};

#define PCN_RECORD_HEAD 8u

/* Set up a ring over `capacity` bytes (a power of two) at `data` in the arena. */
void pcn_ring_init(struct pcn_ring *ring, uint64_t data, uint64_t capacity);

/* The largest record a ring of this capacity takes. */
uint64_t pcn_ring_limit(const struct pcn_ring *ring);

/* Append one record made of `count` parts. With `wait` the producers' lock is waited for,
 * else PCN_BUSY. Sets *position (unless NULL) to the record's. PCN_OK, PCN_FULL, PCN_TOO_BIG,
 * PCN_BUSY. */
enum pcn_status pcn_ring_push(const struct pcn_arena *arena, struct pcn_ring *ring,
                              const struct pcn_part *parts, uint32_t count, bool wait,
                              uint64_t *position);

/* Anything to pop? A hint, without the lock. */
bool pcn_ring_has_records(const struct pcn_ring *ring);

/* The consumer's side, between pcn_ring_lock() and pcn_ring_unlock(). */
enum pcn_status pcn_ring_lock(const struct pcn_arena *arena, struct pcn_ring *ring, bool wait);
void pcn_ring_unlock(struct pcn_ring *ring);

/* The record at `position` (start with pcn_ring_tail): its payload's length.
 * PCN_OK or PCN_EMPTY. */
enum pcn_status pcn_ring_look(const struct pcn_arena *arena, const struct pcn_ring *ring,
                              uint64_t position, uint64_t *length);
uint64_t pcn_ring_tail(const struct pcn_ring *ring);

/* Whether the record that was pushed to `position` is still there: not retired. */
bool pcn_ring_holds(const struct pcn_ring *ring, uint64_t position);

/* Copy bytes [from, from + length) of the record at `position` out. */
void pcn_ring_copy(const struct pcn_arena *arena, const struct pcn_ring *ring,
                   uint64_t position, uint64_t from, void *to, uint64_t length);

/* The 32-bit word at `from` (a multiple of 4) of the record at `position`: to be changed in place
 * by the holder of `consume`, with one store. */
pcn_atomic32 *pcn_ring_word(const struct pcn_arena *arena, const struct pcn_ring *ring,
                            uint64_t position, uint64_t from);

/* The position behind the record at `position` whose payload has `length` bytes. */
uint64_t pcn_ring_next(uint64_t position, uint64_t length);

/* Retire all records before `position`: their space may be written again. */
void pcn_ring_retire(struct pcn_ring *ring, uint64_t position);

/* Wake a producer that waits for space. After the unlock. */
void pcn_ring_report_space(struct pcn_ring *ring);

#endif
