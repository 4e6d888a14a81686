/* The channel of one pool: a task ring, a result ring, and what each worker has claimed.
 * Protocol: channel.md. It lies in one block, owned by the parent. */
#ifndef PCN_CHANNEL_H
#define PCN_CHANNEL_H

#include "arena.h"
#include "block.h"
#include "claim.h"
#include "doorbell.h"
#include "ring.h"

#define PCN_MAX_WORKERS 4000u

/* Payloads up to this many bytes travel in the ring itself, larger ones as a block. */
#define PCN_INLINE_LIMIT 16384u

/* An answer has at most this many parts. */
#define PCN_ANSWER_PARTS 2u

/* The head of every record of both rings. */
struct pcn_message {
    uint64_t task;        /* the ledger's number of the task */
    uint32_t kind;        /* the engine's word; the core only carries it */
    uint32_t worker;      /* results: who answers */
    uint64_t function;    /* tasks: the function's number; results: nanoseconds of work */
    uint32_t code;        /* tasks: the block that holds the pickled function, or 0 */
    pcn_block_id block;   /* the block that holds the payload, or 0 */
    uint64_t length;      /* of the payload, in bytes */
    uint32_t first, end;  /* tasks: the payload's items to run; results: those answered */
};

/* Kinds that the core knows: outcomes of items, encoded in a claim's area; not the last record
 * about their task; its block is a body with buffers beside it (apart.h); a task that was
 * revoked. */
#define PCN_OUTCOMES 2u
#define PCN_PART 0x100u
#define PCN_APART 0x200u
#define PCN_REVOKED UINT32_MAX

struct pcn_channel {
    struct pcn_ring tasks;
    struct pcn_ring results;
    _Alignas(PCN_CACHE_LINE) struct pcn_doorbell work; /* workers sleep here */
    _Alignas(PCN_CACHE_LINE) struct pcn_doorbell news; /* the parent's collector sleeps here */
    struct pcn_doorbell bench; /* workers on the bench sleep here; only ever rung for all */
    /* Spins in vain since the last one that was not: of whoever waits for news (the parent
     * writes) or for work (the spinner writes). Only hints: any value is good. */
    pcn_atomic32 news_misses;
    pcn_atomic32 work_misses;
    /* Token of the one idle worker that spins; it clears it. A dead one is buried. */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 spinner;
    /* Parent writes 1: no more tasks will come; workers leave when the ring is empty. */
    pcn_atomic32 closed;
    /* Counts what the parent's other threads have to tell its collector. */
    pcn_atomic32 pokes;
    pcn_token parent;
    uint32_t workers; /* seats */
    uint32_t cores;
    /* Seats from here on were never sat in. Only grows; raised by who sits down, before. */
    pcn_atomic32 seats_high;
    uint64_t self; /* offset of this structure in the arena */
    struct pcn_claim claims[];
};

/* Bytes that a channel needs; both ring capacities are powers of two. */
uint64_t pcn_channel_size(uint32_t workers, uint64_t tasks, uint64_t results);

/* Set a channel up in the block at `offset`. `cores`: how many may run at once. */
struct pcn_channel *pcn_channel_init(struct pcn_arena *arena, uint64_t offset,
                                     uint32_t workers, uint64_t tasks, uint64_t results,
                                     uint32_t cores);

/* ---- the parent's side ---- */

/* Send a task. A payload over PCN_INLINE_LIMIT goes to a block, which stays the parent's
 * and is named in message->block. Sets *position (unless NULL) to where it lies in the ring; see
 * pcn_channel_revoke_at(). PCN_OK, PCN_FULL, PCN_BUSY, PCN_NO_MEMORY. */
enum pcn_status pcn_channel_submit(struct pcn_arena *arena, struct pcn_channel *channel,
                                   struct pcn_message *message, const void *payload, bool wait,
                                   uint64_t *position);

/* Copy the waiting results (head and inline payload, each padded to 8 bytes) to `to`, as
 * many whole ones as fit in `room` bytes (at least PCN_INLINE_LIMIT + 64). Sets *used.
 * A named block belongs to the caller from here on. PCN_OK, PCN_EMPTY, PCN_BUSY. */
enum pcn_status pcn_channel_collect(struct pcn_arena *arena, struct pcn_channel *channel,
                                    uint8_t *to, uint64_t room, uint64_t *used, bool wait);

/* Whether there are results to collect. */
bool pcn_channel_has_news(const struct pcn_channel *channel);

/* How often the channel was poked. Each thread that waits keeps its own count: read it,
 * then see to what a poke may have been about, then wait for a later one. */
uint32_t pcn_channel_pokes(const struct pcn_channel *channel);

/* Wait for results, or for a poke that is not among the `pokes_seen`: a short spin where
 * a core is spare, then sleep. PCN_OK (perhaps for no reason), PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_channel_wait_news(struct pcn_channel *channel, uint32_t pokes_seen,
                                      uint64_t timeout_ns);

/* Make all threads that wait for news return, each now or the next time it would sleep. */
void pcn_channel_poke(struct pcn_channel *channel);

void pcn_channel_close(struct pcn_channel *channel);

/* Void the tasks in the ring that stand among the `count` ascending `numbers`: they are certainly
 * never run. Sets found[i] to 1 for those. Returns how many there were. */
uint64_t pcn_channel_revoke(struct pcn_arena *arena, struct pcn_channel *channel,
                            const uint64_t *numbers, uint64_t count, uint8_t *found);

/* The same for one task that was sent to `position`, without a look at the others. PCN_OK,
 * PCN_EMPTY (it is not there any more, or was revoked), PCN_BUSY. */
enum pcn_status pcn_channel_revoke_at(struct pcn_arena *arena, struct pcn_channel *channel,
                                      uint64_t number, uint64_t position, bool wait);

/* Tell a seat what it is for; who sits there hears of it. */
void pcn_channel_duty(struct pcn_channel *channel, uint32_t worker, enum pcn_duty duty);

/* The seat of a worker that died: says what it had claimed (`held` is valid if `claimed`), and
 * frees the seat. To be called after all its answers were collected. Outcomes in `area` (0: there
 * is none) may be read until pcn_block_reclaim(token). */
struct pcn_remains {
    bool claimed;
    struct pcn_held held;
    pcn_block_id area;
    pcn_token token;
};
struct pcn_remains pcn_channel_bury(struct pcn_arena *arena, struct pcn_channel *channel,
                                    uint32_t worker);

/* ---- the worker's side ---- */

/* Take seat `worker`. Its duty is what the parent said last. */
void pcn_channel_sit(struct pcn_arena *arena, struct pcn_channel *channel, uint32_t worker);

/* Claim the next task: its head, and its inline payload to `payload` (PCN_INLINE_LIMIT
 * bytes of room). PCN_OK, PCN_EMPTY (or on the bench), PCN_CLOSED (empty and closed, on the
 * bench and closed, or to leave), PCN_BUSY. */
enum pcn_status pcn_channel_claim(struct pcn_arena *arena, struct pcn_channel *channel,
                                  uint32_t worker, struct pcn_message *message, void *payload,
                                  bool wait);

/* Wait for a task, or on the bench for another duty. PCN_OK, PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_channel_wait_work(struct pcn_arena *arena, struct pcn_channel *channel,
                                      uint32_t worker, uint64_t timeout_ns);

/* The area of `worker`, which is us: PCN_INLINE_LIMIT bytes, made when first asked for. It belongs
 * to the parent, who frees it after our death. PCN_OK, PCN_BUSY, PCN_NO_MEMORY. */
enum pcn_status pcn_channel_area(struct pcn_arena *arena, struct pcn_channel *channel,
                                 uint32_t worker, uint8_t **area, bool wait);

/* Publish a result made of `count` parts. PCN_OK, PCN_FULL (nobody collects: tell the
 * supervisor), PCN_BUSY, PCN_NO_MEMORY. */
enum pcn_status pcn_channel_answer(struct pcn_arena *arena, struct pcn_channel *channel,
                                   struct pcn_message *message, const struct pcn_part *parts,
                                   uint32_t count, bool wait);

/* The same for a payload that lies in `message->block`, a block of this process's. Unless PCN_OK it
 * still is: to be tried again, or freed. PCN_OK, PCN_FULL, PCN_BUSY. */
enum pcn_status pcn_channel_answer_block(struct pcn_arena *arena, struct pcn_channel *channel,
                                         struct pcn_message *message, bool wait);

/* Wait until the result ring has room for more. PCN_OK, PCN_TIMEOUT, PCN_SIGNAL. */
enum pcn_status pcn_channel_wait_room(struct pcn_channel *channel, uint64_t length,
                                      uint64_t timeout_ns);

/* The claim of `worker` is answered; it holds nothing any more. True: pcn_claim_park() is to be
 * called before the next claim. */
bool pcn_channel_done(struct pcn_channel *channel, uint32_t worker);

#endif
