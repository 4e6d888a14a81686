/* Queues that lose nothing: records in a chain of segments. Protocol: queue.md. */
#ifndef PCN_QUEUE_H
#define PCN_QUEUE_H

#include "arena.h"
#include "block.h"
#include "doorbell.h"
#include "object.h"

/* The most items a queue holds, whatever its limit: they are counted modulo one more. */
#define PCN_QUEUE_MOST ((1u << 28) - 1)

/* Payloads up to this many bytes stand in the record, larger ones in a block of their own. */
#define PCN_QUEUE_INLINE 16384u

/* Room that pcn_queue_get() needs at least: any one record. */
#define PCN_QUEUE_RECORD (PCN_QUEUE_INLINE + 8u)

/* The body of a PCN_QUEUE; all zero but `limit` and `joinable` is an empty one.
 *
 * `head` and `tail` are ends: how many items (28 bits) and which position, in units of 8 bytes
 * (36 bits), both modulo; the store of one publishes or retires items and counts them, in the
 * same instant. tail <= seen_head <= head; seen_tail <= tail. */
struct pcn_queue {
    /* End of what is published. Written by the holder of `produce`. A death leaves it at the
     * last whole item. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 head;
    struct pcn_lock produce;
    pcn_atomic64 seen_tail; /* a tail of earlier; written under `produce` */
    /* The segment written to, and the first of all; 0: none yet. Written under `produce`. A
     * death may leave `writing` one behind the last of the chain. */
    pcn_block_id writing;
    pcn_atomic32 first;
    /* End of what is retired. Written by the holder of `consume`. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 tail;
    struct pcn_lock consume;
    pcn_atomic64 seen_head; /* a head of earlier; written under `consume` */
    /* The segment read from; 0: the first. Written under `consume`. A death may leave it at a
     * segment that is read through. */
    pcn_block_id reading;
    pcn_atomic32 misses; /* of those who spin for items; a hint */
    _Alignas(PCN_CACHE_LINE) struct pcn_doorbell items; /* who waits for items sleeps here */
    struct pcn_doorbell room;                           /* who waits for room */
    pcn_atomic32 closed;   /* 1: shut down. Written under `produce`; never back. */
    /* An emptied segment for the next producer that needs one, or 0. Filled under `consume`,
     * emptied under `produce`. */
    pcn_atomic32 spare;
    uint32_t limit;    /* most items; set once */
    uint32_t joinable; /* 1: items are counted until they are done; set once */
    /* Of a joinable queue: how many items are done. Written by the holder of `finish`. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 done;
    struct pcn_lock finish;
    struct pcn_doorbell finished; /* who waits for all to be done sleeps here */
};

/* The head of a segment; the records follow. */
struct pcn_segment {
    pcn_atomic32 next; /* the one behind it, or 0. Written under `produce`. */
    uint32_t size;     /* bytes, this head included; set once */
    uint64_t start;    /* position of its first record; set once */
    /* Behind its last record, once `next` is set; else UINT64_MAX, or any end that is not
     * published. Written under `produce`. A death may leave it out: the next producer mends. */
    pcn_atomic64 end;
    uint64_t unused[5];
};

/* One process's view of a queue: for each call, or kept. */
struct pcn_share {
    struct pcn_arena *arena;
    struct pcn_name name;
    struct pcn_queue *queue;
    struct pcn_hold *hold; /* its own */
};

/* What goes in, or what was taken out. */
struct pcn_item {
    const void *bytes;
    uint64_t length;
    uint32_t kind;      /* the caller's word, up to 16 bits; the core only carries it */
    pcn_block_id block; /* that holds the payload; 0: it is inline */
};

static inline struct pcn_queue *pcn_queue_at(const struct pcn_arena *arena, struct pcn_name name)
{
    return pcn_object_body(arena, name.object);
}

/* Set a new queue up. `limit` 0: none. */
void pcn_queue_init(struct pcn_queue *queue, uint64_t limit, bool joinable);

/* Exact, at some instant within the call. */
uint32_t pcn_queue_size(const struct pcn_queue *queue);
bool pcn_queue_has_items(const struct pcn_queue *queue);
bool pcn_queue_has_room(const struct pcn_queue *queue);
bool pcn_queue_is_closed(const struct pcn_queue *queue);

/* ---- putting ---- */

/* Payloads over PCN_QUEUE_INLINE, and others that are to arrive as a block, lie in a block of this
 * process's, which the item names: the item's in the queue once it is in, whoever puts it in. */

/* Put items in, in this order; `*done` is how many went in. PCN_OK: all; PCN_FULL, PCN_CLOSED,
 * PCN_NO_MEMORY; PCN_BUSY: a lock is taken, and not to be waited for. */
enum pcn_status pcn_queue_put(const struct pcn_share *share, const struct pcn_item *items,
                              uint32_t count, uint32_t *done, bool wait);

/* Wait until there may be room. PCN_OK, PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_queue_wait_room(const struct pcn_share *share, uint64_t timeout_ns);

/* ---- getting ---- */

/* Records that were taken, one behind the other. */
struct pcn_taking {
    uint8_t *bytes;       /* the caller's room; 8-aligned */
    uint64_t room;        /* its size, at least PCN_QUEUE_RECORD */
    uint64_t used;        /* how much holds records */
    uint32_t count;       /* of items */
    pcn_block_id emptied; /* an emptied segment, this process's now, which is to free it; or 0 */
};

/* Take items, at most `most` and as many as there is room for. PCN_OK (at least one);
 * PCN_EMPTY; PCN_CLOSED: empty for good; PCN_BUSY as above. */
enum pcn_status pcn_queue_get(const struct pcn_share *share, uint32_t most,
                              struct pcn_taking *taking, bool wait);

/* The taken item at `*at` (0 at first), which is set to the next one's place. A block that it
 * names is this process's, which frees it. */
struct pcn_item pcn_queue_taken(const struct pcn_share *share, const struct pcn_taking *taking,
                                uint64_t *at);

/* Look without sleeping until there may be an item, or the queue is shut down: for a microsecond
 * or two (glance), or as long as it may be worth it (spin). Whether there is. */
bool pcn_queue_glance(const struct pcn_queue *queue);
bool pcn_queue_spin(struct pcn_queue *queue);

/* The same, asleep. PCN_OK, PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_queue_wait_items(const struct pcn_share *share, uint64_t timeout_ns);

/* No more is put in from here on; what is there can be taken. */
void pcn_queue_shut(const struct pcn_share *share);

/* ---- joinable queues: queue_done.c ---- */

/* Items put in and not done. */
uint32_t pcn_queue_unfinished(const struct pcn_queue *queue);

/* One more item is done. PCN_OK; PCN_EMPTY: all were done already; PCN_BUSY. */
enum pcn_status pcn_queue_done(const struct pcn_share *share, bool wait);

/* Wait until all is done. PCN_OK (perhaps for no reason), PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_queue_wait_done(const struct pcn_share *share, uint64_t timeout_ns);

/* Is it the dead that keep the queue unfinished: are more items in hand than the living have?
 * The dead one's token; 0: no. Settles what it left half done. */
pcn_token pcn_queue_culprit(const struct pcn_share *share);

/* Mark what the dead have in hand as done; how many items. */
uint32_t pcn_queue_recover(const struct pcn_share *share);

/* What must hold while nobody is at work in it: NULL, or what is wrong. */
const char *pcn_queue_validate(const struct pcn_share *share);

/* ---- for the parts of the queue only ---- */

/* The last to hold `consume` died, perhaps in the middle of taking: decide whether it took, and
 * free what it had in hand. For who holds it now. */
void pcn_queue_settle_takings(const struct pcn_share *share);

/* queue_mend.c: free what a dead holder of `produce`, or of `consume`, had in hand and nobody will
 * ever find. For who holds that lock now. */
void pcn_queue_mend_puts(const struct pcn_share *share);
void pcn_queue_mend_takings(const struct pcn_share *share);

/* Marks of a queue's blocks: a payload with the position of its record, a segment with where it
 * begins. */
#define PCN_MARK_PAYLOAD ((uint64_t)1 << 63)
#define PCN_MARK_SEGMENT ((uint64_t)3 << 62)

#define PCN_POSITION_BITS 36u
#define PCN_POSITIONS (((uint64_t)1 << PCN_POSITION_BITS) - 1)

static inline uint64_t pcn_end_position(uint64_t end)
{
    return end & PCN_POSITIONS;
}

/* How many items lie between two ends. */
static inline uint32_t pcn_end_items(uint64_t from, uint64_t until)
{
    return (uint32_t)((until >> PCN_POSITION_BITS) - (from >> PCN_POSITION_BITS)) &
           PCN_QUEUE_MOST;
}

/* How many bytes. */
static inline uint64_t pcn_end_bytes(uint64_t from, uint64_t until)
{
    return ((until - from) & PCN_POSITIONS) * 8u;
}

/* The end that lies so many items and bytes behind. */
static inline uint64_t pcn_end_advance(uint64_t end, uint32_t items, uint64_t bytes)
{
    return (((end >> PCN_POSITION_BITS) + items) << PCN_POSITION_BITS) |
           ((end + bytes / 8u) & PCN_POSITIONS);
}

/* In hold->flags: a taking has begun; the rest is what `taken` will be. */
#define PCN_TAKING 0x100u
#define PCN_TAKING_SHIFT 9u

#endif
