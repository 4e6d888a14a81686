/* A seat's claim: what its worker holds, how far it has come with it, and what the parent asks
 * of it. Protocol: claim.md. */
#ifndef PCN_CLAIM_H
#define PCN_CLAIM_H

#include "block.h"
#include "ring.h"

/* A record has at most this many items. */
#define PCN_MAX_ITEMS 0xffffffu

#define PCN_NO_CLAIM UINT64_MAX
#define PCN_ANY_ITEM UINT64_MAX

/* What a seat is for; the parent's word. */
enum pcn_duty {
    PCN_SERVE = 0, /* claims tasks */
    PCN_BENCH,     /* waits until it is to serve */
    PCN_LEAVE,     /* ends when it holds nothing */
};

/* In the first line only the worker writes (and the parent, when nobody sits here), but for
 * `range`. The claim counts only while `until` <= the task ring's tail: the one store of tail
 * retires the record and makes the claim, in the same instant. */
struct pcn_claim {
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 token; /* who sits here; 0: nobody */
    pcn_atomic64 until;      /* the task ring's position behind the record; PCN_NO_CLAIM */
    pcn_atomic64 task;
    pcn_atomic32 started;    /* 1: handed to the worker's Python; 0: certainly not run */
    pcn_atomic32 busy;       /* 1 from claim to answer */
    pcn_atomic64 since;      /* pcn_now_ns() of the claim */
    pcn_atomic64 range;      /* pcn_range: the worker begins items, the parent takes some back */
    pcn_atomic64 done;       /* pcn_progress: stored once an item has its outcome in the area */
    pcn_atomic64 item_since; /* pcn_now_ns() of the begun item, where that is asked for */

    /* Here only the parent writes, but for `area` and `core` (the worker) and `stop` (both). */
    _Alignas(PCN_CACHE_LINE) pcn_atomic64 doomed; /* the task it is going to kill; 0: none */
    pcn_atomic64 doomed_item; /* and the item, or PCN_ANY_ITEM; written before `doomed` */
    pcn_atomic64 stop;        /* the task that shall stop softly; the worker clears it */
    pcn_atomic64 stop_item;   /* and the item, or PCN_ANY_ITEM; written before `stop` */
    pcn_atomic32 duty;        /* enum pcn_duty; set before a worker sits down, and kept by it */
    pcn_atomic32 area;        /* the block with the outcomes of finished items; 0: none yet */
    pcn_atomic32 core;        /* where it sleeps, + 1; 0: it does not. Only a hint */
};

/* Both as one word. Items [begun, end) are not begun; `tag` are the task's low 16 bits. */
struct pcn_range {
    uint32_t tag, end, begun;
};
/* Items [first, done) lie encoded in the area, in so many bytes; earlier ones were sent. */
struct pcn_progress {
    uint32_t done, first, bytes;
};

static inline uint64_t pcn_range_pack(uint64_t task, uint32_t end, uint32_t begun)
{
    return (task & 0xffffu) << 48 | (uint64_t)end << 24 | begun;
}

static inline struct pcn_range pcn_range_of(uint64_t word)
{
    return (struct pcn_range){(uint32_t)(word >> 48), (uint32_t)(word >> 24) & PCN_MAX_ITEMS,
                              (uint32_t)word & PCN_MAX_ITEMS};
}

static inline uint64_t pcn_progress_pack(uint32_t done, uint32_t first, uint32_t bytes)
{
    return (uint64_t)done << 40 | (uint64_t)first << 16 | bytes;
}

static inline struct pcn_progress pcn_progress_of(uint64_t word)
{
    return (struct pcn_progress){(uint32_t)(word >> 40), (uint32_t)(word >> 16) & PCN_MAX_ITEMS,
                                 (uint32_t)word & 0xffffu};
}

static inline enum pcn_duty pcn_claim_duty(const struct pcn_claim *claim)
{
    /* SYNC(channel.duty): what the parent did before it told us is visible. */
    return (enum pcn_duty)pcn_load_acquire32(&claim->duty);
}

/* ---- the worker's side ---- */

/* Nobody holds anything here: a seat that is new, or sat down in. */
void pcn_claim_reset(struct pcn_claim *claim);

/* Write the claim of a record that ends at `until`; it counts once that is retired. Under the
 * consumers' lock. */
void pcn_claim_sign(struct pcn_claim *claim, uint64_t task, uint32_t first, uint32_t end,
                    uint64_t until);

/* Begin the next item. PCN_OK, and its number in *item; PCN_EMPTY: none is left; PCN_BUSY: the
 * task is doomed, nothing was begun: park, then begin again. `timed`: keep item_since. */
enum pcn_status pcn_claim_begin(struct pcn_claim *claim, bool timed, uint32_t *item);

/* The begun item has its outcome: items before `done` do, those from `first` on in the area. */
void pcn_claim_finish(struct pcn_claim *claim, uint32_t done, uint32_t first, uint32_t bytes);

/* Begin no more items; those that are left are nobody's. */
void pcn_claim_cut(struct pcn_claim *claim);

/* Take all that is left as one, for an answer to the whole: the parent takes nothing back any
 * more. Returns the range's end. A single call needs no such thing. */
uint32_t pcn_claim_take_all(struct pcn_claim *claim);

/* It is answered. True: it was doomed, park before anything else is claimed. */
bool pcn_claim_clear(struct pcn_claim *claim);

/* Wait until the task is not doomed any more, or for our death. */
void pcn_claim_park(struct pcn_claim *claim);

/* Whether the parent asks the task, and the item that is begun, to stop: told once. */
bool pcn_claim_stop_asked(struct pcn_claim *claim);

/* ---- the parent's side; calls for one seat not at once ---- */

/* A claim as it was at one instant. */
struct pcn_held {
    uint64_t until, task, since, item_since;
    struct pcn_range range;
    struct pcn_progress progress;
    bool started;
};

/* What the seat holds; false: nothing that counts. */
bool pcn_claim_look(const struct pcn_claim *claim, const struct pcn_ring *tasks,
                    struct pcn_held *held);

/* Announce that the worker is going to be killed for this task, in this item or in
 * PCN_ANY_ITEM. True: from here on it begins nothing else, until it is pardoned. False: it is
 * at that no more, and not doomed. */
bool pcn_claim_doom(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                    uint64_t item);
void pcn_claim_pardon(struct pcn_claim *claim);

/* Ask a task, in this item or in PCN_ANY_ITEM, to stop; a signal is to follow. False: it is at
 * that no more. */
bool pcn_claim_stop(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                    uint64_t item);

/* Take items back that are not begun, so that at most `keep` of those stay: [*first, *end). A
 * single call (items [0, 1)) is never taken back. */
bool pcn_claim_take_back(struct pcn_claim *claim, const struct pcn_ring *tasks, uint64_t task,
                         uint32_t keep, uint32_t *first, uint32_t *end);

/* What a dead worker held, while the caller has the consumers' lock; as pcn_claim_look(). Begun
 * is done, or one more: that item was run. What a doomed worker did not run, and what was taken
 * as a whole, counts as not begun. */
bool pcn_claim_remains(const struct pcn_claim *claim, const struct pcn_ring *tasks,
                       struct pcn_held *held);

#endif
