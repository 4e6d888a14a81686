/* A chunk and its worker, as small as they can be: the outcome of an item is one byte, its
 * number; the area is flushed after every few items. */
#ifndef PCN_TEST_CLAIM_FAMILY_H
#define PCN_TEST_CLAIM_FAMILY_H

#include <sched.h>

#include "channel_family.h"

#define CHUNK_ITEMS 64u
#define CHUNK_FLUSH 4u

struct chunk {
    struct pool pool;
    pcn_token worker; /* who works at it */
    uint64_t task;
    uint32_t first, end;
    bool yields;                  /* its worker lets others run in each item */
    bool answered;                /* the last record came */
    uint8_t ran[CHUNK_ITEMS];     /* how often each item was run, in the worker's words */
    uint8_t sent[CHUNK_ITEMS];    /* how often its outcome was collected */
    uint8_t in_area[CHUNK_ITEMS]; /* how often it was found in the area */
    uint8_t taken[CHUNK_ITEMS];   /* how often it was taken back */
};

/* In memory that later children share. */
static inline struct chunk *chunk_make(struct pcn_arena *arena)
{
    family_make(arena);
    struct chunk *chunk = family_memory(sizeof *chunk);
    chunk->pool = pool_make(arena, 4, POOL_TASKS);
    chunk->task = 0x1fffe; /* the next one's tag is all ones, and the one after has none */
    return chunk;
}

static inline struct pcn_claim *chunk_claim(struct chunk *chunk)
{
    return &chunk->pool.channel->claims[chunk->pool.seat];
}

/* The next chunk: nothing has happened to it yet. */
static inline void chunk_submit(struct pcn_arena *arena, struct chunk *chunk, uint32_t first,
                                uint32_t end)
{
    memset(chunk->ran, 0, sizeof chunk->ran);
    memset(chunk->sent, 0, sizeof chunk->sent);
    memset(chunk->in_area, 0, sizeof chunk->in_area);
    memset(chunk->taken, 0, sizeof chunk->taken);
    chunk->answered = false;
    chunk->task++;
    chunk->first = first;
    chunk->end = end;
    struct pcn_message message = {.task = chunk->task, .first = first, .end = end};
    CHECK_EQ(pcn_channel_submit(arena, chunk->pool.channel, &message, NULL, true, NULL), PCN_OK);
}

static inline void chunk_sit_and_claim(struct pcn_arena *arena, struct chunk *chunk)
{
    struct pcn_message message;
    uint8_t payload[PCN_INLINE_LIMIT];
    pcn_channel_sit(arena, chunk->pool.channel, chunk->pool.seat);
    chunk->worker = arena->me;
    CHECK_EQ(pcn_channel_claim(arena, chunk->pool.channel, chunk->pool.seat, &message, payload,
                               true),
             PCN_OK);
    CHECK_EQ(message.task, chunk->task);
    CHECK_EQ(message.first, chunk->first);
    CHECK_EQ(message.end, chunk->end);
}

static inline void chunk_send(struct pcn_arena *arena, struct chunk *chunk, uint32_t kind,
                              uint32_t first, uint32_t end, const uint8_t *area)
{
    struct pcn_message message = {
        .task = chunk->task, .kind = kind, .worker = chunk->pool.seat, .first = first, .end = end};
    const struct pcn_part part = {area, end - first};
    CHECK_EQ(pcn_channel_answer(arena, chunk->pool.channel, &message, &part, 1, true), PCN_OK);
}

/* Run what was claimed, and answer it, as run() of the binding does. */
static inline void chunk_run(struct pcn_arena *arena, struct chunk *chunk)
{
    struct pcn_claim *claim = chunk_claim(chunk);
    struct pcn_progress at = pcn_progress_of(pcn_load_relaxed64(&claim->done));
    uint8_t *area;
    CHECK_EQ(pcn_channel_area(arena, chunk->pool.channel, chunk->pool.seat, &area, true), PCN_OK);
    for (;;) {
        uint32_t item;
        enum pcn_status got = pcn_claim_begin(claim, true, &item);
        if (got == PCN_BUSY) {
            pcn_claim_park(claim);
            continue;
        }
        if (got == PCN_EMPTY)
            break;
        CHECK_EQ(item, at.done);
        chunk->ran[item]++;
        if (chunk->yields)
            sched_yield();
        area[at.bytes++] = (uint8_t)item;
        at.done++;
        pcn_claim_finish(claim, at.done, at.first, at.bytes);
        if (at.bytes == CHUNK_FLUSH) {
            chunk_send(arena, chunk, PCN_OUTCOMES | PCN_PART, at.first, at.done, area);
            at.first = at.done;
            at.bytes = 0;
            pcn_claim_finish(claim, at.done, at.first, 0);
        }
    }
    chunk_send(arena, chunk, PCN_OUTCOMES, at.first, at.done, area);
    if (pcn_channel_done(chunk->pool.channel, chunk->pool.seat))
        pcn_claim_park(claim);
}

static inline void chunk_count(uint8_t *times, const uint8_t *outcomes, uint32_t first,
                               uint32_t end)
{
    for (uint32_t item = first; item < end; item++) {
        CHECK_EQ(outcomes[item - first], item);
        times[item]++;
    }
}

/* Collect what is there; all of it is of this chunk. */
static inline void chunk_collect(struct pcn_arena *arena, struct chunk *chunk)
{
    static uint8_t room[POOL_ROOM];
    uint64_t used;
    enum pcn_status got =
        pcn_channel_collect(arena, chunk->pool.channel, room, sizeof room, &used, true);
    CHECK(got == PCN_OK || got == PCN_EMPTY);
    for (uint64_t at = 0; at < used;) {
        struct pcn_message message;
        memcpy(&message, room + at, sizeof message);
        at += sizeof message;
        CHECK_EQ(message.task, chunk->task);
        CHECK_EQ(message.kind & ~PCN_PART, PCN_OUTCOMES);
        CHECK_EQ(message.length, message.end - message.first);
        CHECK(!chunk->answered);
        chunk->answered = !(message.kind & PCN_PART);
        chunk_count(chunk->sent, room + at, message.first, message.end);
        at += (message.length + 7) / 8 * 8;
    }
    CHECK_VALID(pcn_validate_channel(arena, chunk->pool.channel));
}

/* What the parent does after a death: collect, bury, read the area, reclaim, sweep. */
static inline struct pcn_remains chunk_bury(struct pcn_arena *arena, struct chunk *chunk)
{
    CHECK_VALID(pcn_validate_channel(arena, chunk->pool.channel));
    chunk_collect(arena, chunk);
    pcn_recover_all(arena); /* anybody may, at any time: what is in the area must survive it */
    struct pcn_remains remains =
        pcn_channel_bury(arena, chunk->pool.channel, chunk->pool.seat);
    if (remains.claimed && remains.held.task == chunk->task && remains.area != 0) {
        const struct pcn_progress *at = &remains.held.progress;
        CHECK_EQ(at->bytes, at->done - at->first);
        chunk_count(chunk->in_area, pcn_block_bytes(arena, remains.area), at->first, at->done);
    }
    if (remains.token)
        pcn_block_reclaim(arena, remains.token);
    pcn_recover_all(arena);
    CHECK_EQ(pool_blocks(arena), 1);
    return remains;
}

/* Each item was delivered, or died, or was never run; `remains`: what its worker held. */
static inline void chunk_check(const struct chunk *chunk, const struct pcn_remains *remains)
{
    bool held = remains->claimed && remains->held.task == chunk->task && !chunk->answered;
    CHECK(held || chunk->answered);
    for (uint32_t item = 0; item < CHUNK_ITEMS; item++) {
        bool ours = item >= chunk->first && item < chunk->end;
        bool delivered = chunk->sent[item] || chunk->in_area[item];
        bool guilty = held && remains->held.range.begun > remains->held.progress.done &&
                      item == remains->held.range.begun - 1 && !delivered;
        bool left = held && item >= remains->held.range.begun && item < remains->held.range.end;
        CHECK(chunk->sent[item] <= 1 && chunk->in_area[item] <= 1 && chunk->ran[item] <= 1);
        CHECK_EQ(delivered + guilty + left + chunk->taken[item], ours);
        if (delivered)
            CHECK_EQ(chunk->ran[item], 1);
        if (left || chunk->taken[item])
            CHECK_EQ(chunk->ran[item], 0);
    }
}

#endif
