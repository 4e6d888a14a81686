/* A channel with workers, as small as it can be: a task asks for its payload back, each byte
 * plus one. */
#ifndef PCN_TEST_CHANNEL_FAMILY_H
#define PCN_TEST_CHANNEL_FAMILY_H

#include <sched.h>

#include "channel.h"
#include "family.h"
#include "lock.h"

#define POOL_TASKS (64u << 10)
#define POOL_RESULTS (64u << 10)
#define POOL_ROOM (128u << 10)
#define POOL_LARGE (PCN_INLINE_LIMIT + 1000)

struct pool {
    struct pcn_channel *channel; /* at the same place in all children: they are forked */
    pcn_block_id block;
    uint32_t seat; /* in a child: its own */
};

static inline struct pool pool_make(struct pcn_arena *arena, uint32_t workers, uint64_t tasks)
{
    struct pool pool = {0};
    uint64_t size = pcn_channel_size(workers, tasks, POOL_RESULTS);
    CHECK_EQ(pcn_block_allocate(arena, size, &pool.block, true), PCN_OK);
    memset(pcn_block_bytes(arena, pool.block), 0xee, size);
    pool.channel = pcn_channel_init(arena, pcn_block_offset(arena, pool.block), workers, tasks,
                                    POOL_RESULTS, 2);
    CHECK_VALID(pcn_validate_channel(arena, pool.channel));
    return pool;
}

static inline enum pcn_status pool_submit_at(struct pcn_arena *arena, struct pool *pool,
                                             uint64_t task, uint64_t length,
                                             pcn_block_id *block, uint64_t *position)
{
    uint8_t payload[POOL_LARGE];
    memset(payload, (int)task, length);
    struct pcn_message message = {.task = task, .kind = 1, .length = length, .end = 1};
    enum pcn_status status =
        pcn_channel_submit(arena, pool->channel, &message, payload, true, position);
    if (block)
        *block = message.block;
    return status;
}

static inline enum pcn_status pool_submit(struct pcn_arena *arena, struct pool *pool,
                                          uint64_t task, uint64_t length, pcn_block_id *block)
{
    return pool_submit_at(arena, pool, task, length, block, NULL);
}

/* Claim a task, or say why not. Its payload is checked. */
static inline enum pcn_status pool_claim(struct pcn_arena *arena, struct pool *pool,
                                         struct pcn_message *message)
{
    uint8_t payload[PCN_INLINE_LIMIT];
    enum pcn_status got =
        pcn_channel_claim(arena, pool->channel, pool->seat, message, payload, true);
    if (got != PCN_OK)
        return got;
    const uint8_t *bytes = message->block ? pcn_block_bytes(arena, message->block) : payload;
    CHECK_EQ(message->block != 0, message->length > PCN_INLINE_LIMIT);
    for (uint64_t at = 0; at < message->length; at += 97)
        CHECK_EQ(bytes[at], (uint8_t)message->task);
    return PCN_OK;
}

static inline void pool_answer(struct pcn_arena *arena, struct pool *pool, uint64_t task,
                               uint64_t length)
{
    uint8_t payload[POOL_LARGE];
    memset(payload, (int)task + 1, length);
    struct pcn_message message = {.task = task, .kind = 2, .worker = pool->seat};
    const struct pcn_part part = {payload, length};
    enum pcn_status got;
    while ((got = pcn_channel_answer(arena, pool->channel, &message, &part, 1, true)) == PCN_FULL)
        CHECK(pcn_channel_wait_room(pool->channel, length, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
    CHECK_EQ(got, PCN_OK);
    if (pcn_channel_done(pool->channel, pool->seat))
        pcn_claim_park(&pool->channel->claims[pool->seat]);
}

/* A worker's life: until the channel is closed and empty. */
static inline void pool_work(struct pcn_arena *arena, void *context)
{
    struct pool *pool = context;
    pcn_channel_sit(arena, pool->channel, pool->seat);
    for (;;) {
        struct pcn_message message;
        enum pcn_status got = pool_claim(arena, pool, &message);
        if (got == PCN_OK)
            pool_answer(arena, pool, message.task, message.length);
        else if (got == PCN_CLOSED)
            return;
        else
            CHECK(pcn_channel_wait_work(arena, pool->channel, pool->seat, FAMILY_PATIENCE_NS) !=
                  PCN_TIMEOUT);
    }
}

/* Collect what is there: counts each result into times[task] and frees its block. Returns
 * how many there were. */
static inline uint32_t pool_collect(struct pcn_arena *arena, struct pool *pool,
                                    uint8_t *times, uint64_t tasks)
{
    static uint8_t room[POOL_ROOM];
    uint64_t used;
    uint32_t count = 0;
    enum pcn_status got = pcn_channel_collect(arena, pool->channel, room, sizeof room, &used, true);
    CHECK(got == PCN_OK || (got == PCN_EMPTY && used == 0));
    for (uint64_t at = 0; at < used;) {
        struct pcn_message message;
        memcpy(&message, room + at, sizeof message);
        at += sizeof message;
        const uint8_t *bytes = room + at;
        CHECK(message.task < tasks && message.kind == 2);
        CHECK_EQ(message.block != 0, message.length > PCN_INLINE_LIMIT);
        if (message.block)
            bytes = pcn_block_bytes(arena, message.block);
        else
            at += (message.length + 7) / 8 * 8;
        for (uint64_t i = 0; i < message.length; i += 97)
            CHECK_EQ(bytes[i], (uint8_t)(message.task + 1));
        if (message.block)
            CHECK_EQ(pcn_block_free(arena, message.block, false, true), PCN_OK);
        times[message.task]++;
        count++;
    }
    return count;
}

/* Until each of the first `workers` seats was taken: who joins later takes the place of a worker
 * that has ended already. */
static inline void pool_wait_seated(const struct pool *pool, uint32_t workers)
{
    uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
    for (uint32_t seat = 0; seat < workers; seat++) {
        while (pcn_load_relaxed64(&pool->channel->claims[seat].token) == 0) {
            CHECK(pcn_now_ns() < until);
            sched_yield();
        }
    }
}

static inline uint32_t pool_blocks(const struct pcn_arena *arena)
{
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(arena, &bytes, &count);
    return count;
}

#endif
